"""Programs that nobody edits, each server of theirs with the concurrency that the command names."""

from __future__ import annotations

import http.client
import signal
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.background import Background
from tests.operate.commands import TIMEOUT, RunningCommand, doorkeep, running

# A server as programs write them; the arguments name its class. It prints its port, and tells each client who serves.
SERVER = """\
import os, socketserver, sys, threading

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(f"{os.getpid()} {threading.current_thread().name}\\n".encode())
        self.rfile.read()

class Written(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True

class Counting(Written):
    def process_request_thread(self, request, client_address):
        request.sendall(b"counted ")
        super().process_request_thread(request, client_address)

Made = type("Made", (socketserver.ThreadingMixIn, socketserver.TCPServer), {})
Ready = socketserver.ThreadingTCPServer
Plain = socketserver.TCPServer

with globals()[sys.argv[1]](("127.0.0.1", 0), Handler) as server:
    print(
        "port", server.server_address[1],
        "mixes threads" if isinstance(server, socketserver.ThreadingMixIn) else "plain",
        "daemons" if getattr(server, "daemon_threads", None) else "no daemons",
        flush=True,
    )
    server.serve_forever()
"""


SERVER_CLASSES = ["Written", "Counting", "Made", "Ready"]


@dataclass
class Greeting:
    """Which process and thread serve a client."""

    pid: int
    thread: str
    client: socket.socket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the program."""
    (tmp_path / "server.py").write_text(SERVER)
    return tmp_path


def begin(command: RunningCommand, server_class: str) -> int:
    """Wait until the program serves, and return its port."""
    told = command.wait_for_line(r"^port (\d+) (.*)")
    daemons = "daemons" if server_class in ("Written", "Counting") else "no daemons"
    assert told[2] == f"mixes threads {daemons}"
    return int(told[1])


def greeting(command: RunningCommand, port: int, server_class: str) -> Greeting:
    """Connect, and return what the server says of itself."""
    client = command.connect(port)
    with client.makefile("r") as lines:
        words = lines.readline().strip()
    assert words.startswith("counted ") is (server_class == "Counting")
    pid, _, thread = words.removeprefix("counted ").partition(" ")
    return Greeting(int(pid), thread, client)


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_threads_by_default(server_class: str, folder: Path) -> None:
    with running("adopt", "server.py", server_class, cwd=folder) as command:
        port = begin(command, server_class)
        greetings = [greeting(command, port, server_class) for _ in range(3)]
        assert {greeting.pid for greeting in greetings} == {command.process.pid}
        assert len({greeting.thread for greeting in greetings} - {"MainThread"}) == 3


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_pool_bounds_the_threads(server_class: str, folder: Path) -> None:
    with running("adopt", "--concurrency", "pool:2", "server.py", server_class, cwd=folder) as command:
        port = begin(command, server_class)
        first, second = (greeting(command, port, server_class) for _ in range(2))
        waiting = Background(greeting, command, port, server_class)
        first.client.close()
        assert waiting.result(TIMEOUT).thread in (first.thread, second.thread)


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_fork(server_class: str, folder: Path) -> None:
    with running("adopt", "--concurrency", "fork", "server.py", server_class, cwd=folder) as command:
        port = begin(command, server_class)
        pids = {greeting(command, port, server_class).pid for _ in range(2)}
        assert len(pids - {command.process.pid}) == 2


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_green(server_class: str, folder: Path) -> None:
    with running("adopt", "--concurrency", "green", "server.py", server_class, cwd=folder) as command:
        port = begin(command, server_class)
        greetings = [greeting(command, port, server_class) for _ in range(3)]
        assert {(found.pid, found.thread) for found in greetings} == {(command.process.pid, "MainThread")}


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_sync(server_class: str, folder: Path) -> None:
    with running("adopt", "--concurrency", "sync", "server.py", server_class, cwd=folder) as command:
        port = begin(command, server_class)
        first = greeting(command, port, server_class)
        first.client.close()
        assert (first.pid, first.thread) == (command.process.pid, "MainThread")
        assert greeting(command, port, server_class).thread == "MainThread"


def test_servers_without_threads_stay_without(folder: Path) -> None:
    with running("adopt", "--concurrency", "fork", "server.py", "Plain", cwd=folder) as command:
        port = int(command.wait_for_line(r"^port (\d+) plain no daemons")[1])
        assert greeting(command, port, "Plain").pid == command.process.pid


def test_http_server_on_a_pool(folder: Path) -> None:
    arguments = ("-m", "http.server", "--bind", "127.0.0.1", "0")
    with running("adopt", "--concurrency", "pool:2", *arguments, cwd=folder) as command:
        port = int(command.wait_for_line(r"^Serving HTTP on 127\.0\.0\.1 port (\d+)")[1])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            connection.request("GET", "/server.py")
            assert connection.getresponse().read().decode() == SERVER
        command.send_signal(signal.SIGINT)
        assert command.wait() == 0


@pytest.mark.parametrize("daemons", [True, False])
def test_daemon_threads_say_whether_the_close_waits_for_children(daemons: bool, folder: Path) -> None:
    (folder / "closing.py").write_text(
        "import socket, socketserver\n"
        "class Handler(socketserver.BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        self.request.sendall(b'in')\n"
        "        self.request.recv(1)\n"
        "server = socketserver.ThreadingTCPServer(('127.0.0.1', 0), Handler)\n"
        f"server.daemon_threads = {daemons}\n"
        "client = socket.create_connection(server.server_address)\n"
        "server.handle_request()\n"
        "assert client.recv(2) == b'in'\n"
        "if not server.daemon_threads:\n"
        "    client.send(b'.')\n"
        "server.server_close()\n"
        "print(len(server.active_children))\n"
        "client.send(b'.')\n"
    )
    adopted = doorkeep("adopt", "--concurrency", "fork", "closing.py", cwd=folder)
    assert adopted.stdout == f"{int(daemons)}\n", adopted.stderr
