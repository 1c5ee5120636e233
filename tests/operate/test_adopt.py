"""Programs that nobody edits, run on doorkeep."""

from __future__ import annotations

import http.client
import signal
import socket
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.background import Background
from tests.operate.commands import TIMEOUT, RunningCommand, doorkeep, python, running

# What a program finds of itself.
SELF_PORTRAIT = """\
import json, os, sys
main = sys.modules["__main__"]
print(json.dumps({
    "argv": [os.path.realpath(sys.argv[0]), *sys.argv[1:]],
    "path": sys.path[0],
    "name": __name__,
    "file": __file__,
    "package": __package__,
    "spec": getattr(__spec__, "name", None),
    "main": vars(main) is globals(),
}))
"""

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with programs in every form that Python runs."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "portrait.py").write_text(SELF_PORTRAIT)
    for package in ("package", "inner/package"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "__main__.py").write_text(SELF_PORTRAIT)
        (tmp_path / package / "program.py").write_text(SELF_PORTRAIT)
    with zipfile.ZipFile(tmp_path / "archive.pyz", "w") as archive:
        archive.writestr("__main__.py", SELF_PORTRAIT)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    ["portrait.py", "inner/package/program.py", "inner/package", "archive.pyz", "-m portrait", "-m package"],
)
def test_a_program_finds_itself_where_python_would_have_put_it(program: str, folder: Path) -> None:
    arguments = [*program.split(), "--concurrency", "-m", "--help", "two words"]
    adopted = doorkeep("adopt", *arguments, cwd=folder)
    assert adopted.stderr == ""
    assert adopted.stdout == python(*arguments, cwd=folder).stdout


def test_a_script_finds_its_name_as_it_was_given(folder: Path) -> None:
    (folder / "named.py").write_text("import sys; print(sys.argv)")
    assert doorkeep("adopt", "named.py", "-x", cwd=folder).stdout == "['named.py', '-x']\n"


def test_the_same_with_a_model(folder: Path) -> None:
    adopted = doorkeep("adopt", "--concurrency", "pool:2", "-m", "package.program", "--version", cwd=folder)
    assert adopted.stdout == python("-m", "package.program", "--version", cwd=folder).stdout


def test_nothing_that_is_replaced_is_imported_before_the_program(folder: Path) -> None:
    users = "xmlrpc.server wsgiref.simple_server logging.config pydoc"
    (folder / "first.py").write_text(
        "import sys\n"
        f"print([name for name in {users.split()} if name in sys.modules])\n"
        "print(sys.modules['socketserver'].__name__, sys.modules['http.server'].__name__)"
    )
    assert doorkeep("adopt", "first.py", cwd=folder).stdout == "[]\ndoorkeep.socketserver doorkeep.http.server\n"


@pytest.mark.parametrize("module", ["http.server", "xmlrpc.server", "logging.config", "wsgiref.simple_server"])
def test_standard_modules_are_built_on_doorkeep(module: str, folder: Path) -> None:
    (folder / "users.py").write_text(
        f"import {module}, sys\n"
        f"classes = [value for value in vars({module}).values() if isinstance(value, type)]\n"
        "bases = {base.__module__ for value in classes for base in value.__mro__}\n"
        "print('doorkeep.server' in bases or 'doorkeep.handlers' in bases, 'socketserver' in bases)\n"
    )
    assert doorkeep("adopt", "users.py", cwd=folder).stdout == "True False\n"


@pytest.mark.parametrize(
    ("ending", "status", "last_line"),
    [
        ("raise SystemExit(3)", 3, None),
        ("raise LookupError('the program')", 1, "LookupError: the program"),
        ("import doorkeep; raise doorkeep.SettingError('its own')", 1, "doorkeep.errors.SettingError: its own"),
        ("import there_is_no_such", 1, "ModuleNotFoundError: No module named 'there_is_no_such'"),
        ("def", 1, "SyntaxError: invalid syntax"),
        ("pass", 0, None),
    ],
)
@pytest.mark.parametrize("how", ["ending.py", "-m ending"])
def test_a_program_ends_in_its_own_way(how: str, ending: str, status: int, last_line: str | None, folder: Path) -> None:
    (folder / "ending.py").write_text(ending)
    adopted = doorkeep("adopt", *how.split(), cwd=folder)
    assert adopted.returncode == status
    assert adopted.stderr.splitlines()[-1:] == ([last_line] if last_line else [])


def test_a_package_around_the_program_that_fails_shows_its_own_traceback(folder: Path) -> None:
    (folder / "package" / "__init__.py").write_text("import there_is_no_such_module")
    adopted = doorkeep("adopt", "-m", "package.program", cwd=folder)
    assert adopted.stderr.startswith("Traceback")
    assert adopted.stderr.endswith("No module named 'there_is_no_such_module'\n")
    assert adopted.returncode == 1


# -- Concurrency -------------------------------------------------------------------------------------------------

SERVER_CLASSES = ["Written", "Counting", "Made", "Ready"]


@dataclass
class Greeting:
    """Which process and thread serve a client."""

    pid: int
    thread: str
    client: socket.socket


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
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/portrait.py")
            assert connection.getresponse().read().decode() == SELF_PORTRAIT
        finally:
            connection.close()
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


# -- Chunked bodies, which programs for the standard module decode ----------------------------------------------------

DECODING_SERVER = """\
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""

FLASK_SERVER = """\
import flask
from werkzeug.serving import make_server

application = flask.Flask("application")

@application.post("/")
def echo():
    return flask.request.get_data()

server = make_server("127.0.0.1", 0, application, threaded=True)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize("program", ["decoding", "flask"])
@pytest.mark.parametrize("concurrency", ["thread", "green", "fork"])
def test_programs_decode_chunked_bodies(program: str, concurrency: str, folder: Path) -> None:
    (folder / "program.py").write_text(DECODING_SERVER if program == "decoding" else FLASK_SERVER)
    with running("adopt", "--concurrency", concurrency, "program.py", cwd=folder) as command:
        port = int(command.wait_for_line(r"^port (\d+)$")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.connect()
        first = connection.sock
        for pieces in ([b"hello, ", b"world"], [b"x" * 100_000, b"y"], []):
            for body in (iter(pieces), b"".join(pieces)):  # chunked, and of a known length
                connection.request("POST", "/", body)
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, b"".join(pieces))
        assert (connection.sock is first) is (program == "decoding")  # Werkzeug's server keeps no connection
        connection.close()


# -- From code ---------------------------------------------------------------------------------------------------


def test_install(folder: Path) -> None:
    told = python(
        "-c",
        "import doorkeep; doorkeep.install(); doorkeep.install()\n"
        "import socketserver, http.server\n"
        "print(socketserver is doorkeep.socketserver, issubclass(http.server.HTTPServer, doorkeep.TCPServer))",
    )
    assert told.stdout == "True True\n", told.stderr


def test_install_leaves_chunked_bodies_to_those_who_do_not_know_us() -> None:
    told = python(
        "-c",
        "import doorkeep; doorkeep.install()\n"
        "from http.server import *\n"
        "from doorkeep.http.wsgi import WSGIHandler\n"
        "class Theirs(BaseHTTPRequestHandler): pass\n"
        "class Knows(BaseHTTPRequestHandler): decodes_chunked = True\n"
        "handlers = Theirs, SimpleHTTPRequestHandler, Knows, CGIHTTPRequestHandler, WSGIHandler\n"
        "print([handler.decodes_chunked for handler in handlers])",
    )
    assert told.stdout == "[False, False, True, True, True]\n", told.stderr


def test_install_with_a_model() -> None:
    told = python(
        "-c",
        "import doorkeep; doorkeep.install('pool:3')\n"
        "import http.server\n"
        "server = http.server.ThreadingHTTPServer\n"
        "assert issubclass(server, http.server.HTTPServer) and server.__module__ == 'doorkeep.http.server'\n"
        "print(issubclass(server, doorkeep.ThreadPoolMixIn), server.pool_size, server.daemon_threads)",
    )
    assert told.stdout == "True 3 True\n", told.stderr


def test_install_refuses_an_unknown_model_and_replaces_nothing() -> None:
    told = python(
        "-c",
        "import doorkeep, sys\n"
        "try:\n"
        "    doorkeep.install('fibre')\n"
        "except doorkeep.SettingError as error:\n"
        "    print(error)\n"
        "print('socketserver' in sys.modules)",
    )
    assert told.stdout.endswith("choose thread, pool, green, async, fork or sync\nFalse\n")


def test_install_says_who_was_imported_too_early() -> None:
    told = python(
        "-c",
        "import doorkeep, http.server, xmlrpc.server, sys\n"
        "try:\n"
        "    doorkeep.install()\n"
        "except doorkeep.DoorkeepError as error:\n"
        "    print(error)\n"
        "print(sys.modules['socketserver'].__name__, http.server.socketserver.__name__)",
    )
    assert told.stdout == (
        "too late to replace socketserver and http.server: xmlrpc.server uses it already; "
        "call doorkeep.install() before anything else is imported\n"
        "socketserver socketserver\n"
    )


def test_install_reaches_modules_that_have_only_imported_it() -> None:
    told = python(
        "-c",
        "import socketserver, logging.config\n"
        "from socketserver import TCPServer as Server\n"
        "import doorkeep; doorkeep.install()\n"
        "print(socketserver is doorkeep.socketserver, Server is doorkeep.TCPServer)\n"
        "print(logging.config.ThreadingTCPServer is doorkeep.ThreadingTCPServer)",
    )
    assert told.stdout == "True True\nTrue\n", told.stderr


def test_install_replaces_modules_inside_packages_too(folder: Path) -> None:
    (folder / "better.py").write_text("class Counter:\n    pass\n")
    (folder / "package" / "counter.py").write_text("class Counter:\n    pass\n")
    for imported_before in ("", "import package.counter"):
        told = python(
            "-c",
            f"{imported_before}\n"
            "from doorkeep.operate import adopt\n"
            "adopt.REPLACED['package.counter'] = 'better'\n"
            "adopt.install()\n"
            "import package.counter, better\n"
            "print(package.counter is better)",
            cwd=folder,
        )
        assert told.stdout == "True\n", told.stderr


def test_install_wakes_no_lazy_objects() -> None:
    told = python(
        "-c",
        "import doorkeep, socketserver, types, sys\n"
        "class Lazy:\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        raise RuntimeError('woken')\n"
        "holder = types.ModuleType('holder')\n"
        "holder.lazy = Lazy()\n"
        "sys.modules['holder'] = holder\n"
        "sys.modules['no module'] = Lazy()\n"
        "doorkeep.install()\n"
        "print(socketserver is doorkeep.socketserver)",
    )
    assert told.stdout == "True\n", told.stderr
