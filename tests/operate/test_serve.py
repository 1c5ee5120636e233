"""`doorkeep serve`, run as people run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import trustme

from tests.operate.commands import RunningCommand, running

ANY_PORT = ("--bind", "tcp://127.0.0.1:0")
HANDLERS = """\
import os
import signal
import threading
from socketserver import BaseRequestHandler, StreamRequestHandler  # the standard ones

class Upper(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class Where(StreamRequestHandler):
    def handle(self):
        self.wfile.write(f"{os.getpid()} {threading.current_thread().name}\\n".encode())
        self.rfile.read()

class Settings(StreamRequestHandler):
    def handle(self):
        for name in self.rfile.read().split():
            self.wfile.write(repr(getattr(self.server, name.decode())).encode() + b"\\n")

class Stuck(BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"in\\n")
        threading.Event().wait()

class Ends(BaseRequestHandler):
    def handle(self):
        self.server.shutdown()

class Fails(BaseRequestHandler):
    def handle(self):
        raise LookupError("this handler\\nfails")

def function(request, client_address, server):
    request.sendall(b"called\\n")

class Signals(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            # As the kernel may deliver a signal to any thread; the main one notices nothing of it.
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module `handlers`."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


def port_of(command: RunningCommand) -> int:
    port: int = command.address().server_address[1]
    return port


def exchange(client: socket.socket, data: bytes) -> bytes:
    """Send all there is to say, and return the whole answer."""
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    return client.makefile("rb").read()


def end(command: RunningCommand) -> None:
    """Have a command end as its supervisor would, and check that it does."""
    command.send_signal(signal.SIGTERM)
    assert command.wait() == 0


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:0", "tcp://[::]:0", "udp://127.0.0.1:0", "unix:sock", "unix:@dk{pid}"]
)
def test_prints_a_line_that_talks_to_it(url: str, tmp_path: Path) -> None:
    with running("serve", "--bind", url.format(pid=os.getpid()), cwd=tmp_path) as command:
        command.wait_for_line("^Talk to it from another terminal:$")
        line = command.wait_for_line("python")
        answer = subprocess.run(line.string, shell=True, capture_output=True, text=True, timeout=50)
        assert answer.stdout == "HELLO\n"
        end(command)


def test_a_line_for_each_of_several_addresses(tmp_path: Path) -> None:
    urls = ("tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix:stream", "unixgram:datagrams")
    with running("serve", *(word for url in urls for word in ("--bind", url)), cwd=tmp_path) as command:
        tcp, _, unix, unixgram = [command.address() for _ in urls]
        assert (str(unix), str(unixgram)) == urls[2:]
        assert exchange(command.connect(tcp.server_address[1]), b"stream\n") == b"STREAM\n"
        lines = [command.wait_for_line("python").string for _ in urls]
        for line in lines:
            answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=50)
            assert answer.stdout == "HELLO\n"
        end(command)


def test_serves_handlers_of_the_standard_library(folder: Path) -> None:
    with running("serve", "handlers:Upper", *ANY_PORT, cwd=folder) as command:
        assert exchange(command.connect(port_of(command)), b"one\ntwo\n") == b"ONE\nTWO\n"
        end(command)


def test_serves_whatever_can_be_called(folder: Path) -> None:
    with running("serve", "handlers:function", *ANY_PORT, cwd=folder) as command:
        assert command.connect(port_of(command)).recv(100) == b"called\n"
        end(command)


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "fork", "sync"])
def test_concurrency(concurrency: str, folder: Path) -> None:
    with running("serve", "handlers:Where", *ANY_PORT, "--concurrency", concurrency, cwd=folder) as command:
        pid, _, thread = exchange(command.connect(port_of(command)), b"").decode().strip().partition(" ")
        assert (int(pid) == command.process.pid) is (concurrency != "fork")
        assert thread.endswith("(process_request_thread)") is (concurrency in ("thread", "pool"))
        end(command)


def test_settings_and_defaults_reach_the_server(folder: Path) -> None:
    names = {
        "idle_timeout": "2.5",
        "block_on_close": "False",
        "allow": "('127.0.0.0/8', '::1')",
        "drain_timeout": "None",
        "max_connections": "7",
        "handshake_timeout": "10.0",
        "allow_reuse_address": "True",
    }
    given = "--concurrency thread:7 --idle-timeout 2.5 --no-block-on-close --allow 127.0.0.0/8,::1 --drain-timeout none"
    with running("serve", "handlers:Settings", *ANY_PORT, *given.split(), cwd=folder) as command:
        answer = exchange(command.connect(port_of(command)), "\n".join(names).encode())
        assert dict(zip(names, answer.decode().splitlines(), strict=True)) == names
        end(command)


def test_handlers_of_http_are_served_by_http(folder: Path) -> None:
    (folder / "web.py").write_text(
        "from doorkeep import BaseHTTPRequestHandler\n"
        "class Handler(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        names = ('server_name', 'head_timeout', 'keep_alive_timeout', 'min_body_rate', 'access_log')\n"
        "        self.wfile.write(repr([getattr(self.server, name) for name in names]).encode())\n"
    )
    with running("serve", "web:Handler", *ANY_PORT, "--access-log", "json", cwd=folder) as command:
        port = int(command.wait_for_line(r"^Serving web:Handler at http://127\.0\.0\.1:(\d+)")[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            answer = exchange(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer == b"['localhost', 20.0, 30.0, 240, 'json']"
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert b" 400 Missing Host\r\n" in exchange(client, b"GET / HTTP/1.1\r\n\r\n")


def test_settings_of_http_mean_nothing_to_others(folder: Path) -> None:
    with running("serve", "handlers:Upper", *ANY_PORT, "--head-timeout", "5", cwd=folder) as command:
        command.wait_for_log(r"--head-timeout means nothing at tcp://127\.0\.0\.1:0 with thread")
        assert command.wait() == 2


def test_a_given_setting_goes_before_the_default(folder: Path) -> None:
    given = ("--handshake-timeout", "none", "--drain-timeout", "1")
    with running("serve", "handlers:Settings", *ANY_PORT, *given, cwd=folder) as command:
        answer = exchange(command.connect(port_of(command)), b"handshake_timeout drain_timeout")
        assert answer == b"None\n1.0\n"
        end(command)


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with running("serve", *ANY_PORT, "--tls-certificate", "server.pem", cwd=tmp_path) as command:
        with context.wrap_socket(command.connect(port_of(command)), server_hostname="localhost") as client:
            client.sendall(b"secret\n")
            assert client.recv(100) == b"SECRET\n"
        end(command)


# -- The end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "async", "fork", "sync"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_requests_in_progress_finish(concurrency: str, number: int) -> None:
    with running("serve", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "none") as command:
        client = command.connect(port_of(command))
        client.sendall(b"before\n")
        assert client.recv(100) == b"BEFORE\n"
        # As a terminal sends it: to the children too.
        os.killpg(command.process.pid, number) if number == signal.SIGINT else command.send_signal(number)
        if concurrency != "sync":  # its loop is where the handler is
            command.wait_for_log("server stopped")
        assert exchange(client, b"after\n") == b"AFTER\n"
        assert command.wait() == 0


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "fork", "sync"])
def test_conversations_are_told(concurrency: str, tmp_path: Path) -> None:
    (tmp_path / "talking.py").write_text(
        "import socket\n"
        "from doorkeep import StreamRequestHandler\n"
        "class Talks(StreamRequestHandler):\n"
        "    def handle(self):\n"
        "        with self.on_drain(lambda: self.connection.shutdown(socket.SHUT_RD)):\n"
        "            self.wfile.write(b'hello\\n')\n"
        "            self.rfile.read()\n"
        "        self.wfile.write(b'goodbye\\n')\n"
    )
    arguments = ("serve", "talking:Talks", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "none")
    with running(*arguments, cwd=tmp_path) as command:
        with command.connect(port_of(command)).makefile("rb") as answer:
            assert answer.readline() == b"hello\n"
            command.send_signal(signal.SIGTERM)
            assert answer.read() == b"goodbye\n"
        command.wait_for_log("server drained .* closed=0$")
        assert command.wait() == 0


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "async", "fork", "sync"])
def test_requests_that_take_too_long_are_cut(concurrency: str) -> None:
    with running("serve", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "0") as command:
        client = command.connect(port_of(command))
        client.sendall(b"before\n")
        assert client.recv(100) == b"BEFORE\n"
        command.send_signal(signal.SIGTERM)
        assert client.recv(100) == b""
        command.wait_for_log("server drained .* closed=1$")
        assert command.wait() == 0


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "fork", "sync"])
def test_handlers_that_do_not_end_are_left_behind(concurrency: str, folder: Path) -> None:
    arguments = ("serve", "handlers:Stuck", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "0")
    with running(*arguments, cwd=folder) as command:
        client = command.connect(port_of(command))
        assert client.recv(100) == b"in\n"
        command.send_signal(signal.SIGTERM)
        if concurrency != "fork":  # a child can be ended
            command.wait_for_log("left behind: 1$")
        assert command.wait() == 0
        assert client.recv(100) == b""


@pytest.mark.parametrize("concurrency", ["thread", "pool", "green", "fork", "sync"])
def test_a_second_signal_ends_it_at_once(concurrency: str, folder: Path) -> None:
    arguments = ("serve", "handlers:Stuck", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "none")
    with running(*arguments, cwd=folder) as command:
        client = command.connect(port_of(command))
        assert client.recv(100) == b"in\n"
        command.send_signal(signal.SIGTERM)
        command.wait_for_log("ending")
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 0
        assert client.recv(100) == b""  # whatever held the connection, a child too, is gone


@pytest.mark.parametrize("concurrency", ["thread", "green", "sync"])
def test_signals_that_interrupt_another_thread(concurrency: str, folder: Path) -> None:
    arguments = ("serve", "handlers:Signals", *ANY_PORT, "--concurrency", concurrency, "--drain-timeout", "none")
    with running(*arguments, cwd=folder) as command:
        client = command.connect(port_of(command))
        client.sendall(b"first\n")
        command.wait_for_log("ending")
        client.sendall(b"second\n")
        assert command.wait() == 0


def test_all_servers_end_with_one(folder: Path) -> None:
    binds = ("--bind", "tcp://127.0.0.1:0", "--bind", "unix:sock")
    with running("serve", "handlers:Ends", *binds, cwd=folder) as command:
        command.connect(port_of(command))
        assert command.wait() == 0
        command.wait_for_log("server drained server=unix:sock")


def test_is_started_again_at_once_at_the_same_address() -> None:
    with running("serve", *ANY_PORT, "--drain-timeout", "0") as command:
        port = port_of(command)
        client = command.connect(port)
        client.sendall(b"x\n")
        assert client.recv(100) == b"X\n"
        end(command)  # the server closes first, so that the connection lingers at its end
        client.close()
    with running("serve", "--bind", f"tcp://127.0.0.1:{port}") as command:
        assert port_of(command) == port
        end(command)


# -- Its log -----------------------------------------------------------------------------------------------------


def test_logs_a_failure_in_one_line(folder: Path) -> None:
    with running("serve", "handlers:Fails", *ANY_PORT, cwd=folder) as command:
        command.connect(port_of(command))
        line = command.wait_for_log("ERROR").string
        assert r"failed: LookupError: this handler\nfails (" in line
        assert line.endswith(f"({folder / 'handlers.py'}, line 32, in handle)\n")
        end(command)


def test_logs_json(folder: Path) -> None:
    with running("serve", "handlers:Upper", *ANY_PORT, "--log-format", "json", cwd=folder) as command:
        assert exchange(command.connect(port_of(command)), b"hello\n") == b"HELLO\n"
        end(command)
        command.wait_for_log("server_started")
        stopped = json.loads(command.wait_for_log("connection_stopped").string)
        assert (stopped["received"], stopped["sent"]) == (6, 6)


def test_log_level(folder: Path) -> None:
    with running("serve", *ANY_PORT, "--log-level", "error") as command:
        assert exchange(command.connect(port_of(command)), b"hello\n") == b"HELLO\n"
        end(command)
        assert command.process.stderr is not None
        assert command.process.stderr.read() == ""
