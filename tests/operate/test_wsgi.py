"""`doorkeep wsgi`, run as people run it."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from doorkeep.errors import DoorkeepError
from doorkeep.operate.wsgi import load_application
from tests.operate.commands import RunningCommand, doorkeep, python, running

ANY_PORT = ("--bind", "tcp://127.0.0.1:0")
APPLICATIONS = """\
import os
import threading

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['wsgi.url_scheme']} {environ['PATH_INFO']} ".encode(), environ["wsgi.input"].read()]

def where(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {threading.current_thread().name}".encode()]

def slow(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun\\n"
    yield environ["wsgi.input"].read()

def create():
    return application

class Thing:
    application = staticmethod(application)

def needs_more(argument):
    return application

def broken():
    raise LookupError("no database")

def leaves():
    raise SystemExit("enough")

def wrong():
    return 5

async def asgi(scope, receive, send):
    pass

class ASGI:
    async def __call__(self, scope, receive, send):
        pass

asgi_object = ASGI()
number = 5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module `applications`."""
    (tmp_path / "applications.py").write_text(APPLICATIONS)
    return tmp_path


def port_of(command: RunningCommand) -> int:
    """Return the port at which the command says that it listens."""
    return int(command.wait_for_line(r"^Serving .* at https?://127\.0\.0\.1:(\d+), ")[1])


def fetch(port: int, path: str = "/", body: bytes | None = None, context: Any = None) -> bytes:
    """Return the body of the answer to a request."""
    if context is None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=50)
    else:
        client = http.client.HTTPSConnection("localhost", port, timeout=50, context=context)
    try:
        client.request("GET" if body is None else "POST", path, body)
        return client.getresponse().read()
    finally:
        client.close()


def end(command: RunningCommand) -> None:
    """Have a command end as its supervisor would, and check that it does."""
    command.send_signal(signal.SIGTERM)
    assert command.wait() == 0


@pytest.mark.parametrize(
    "reference", ["applications:application", "applications:create()", "applications:Thing.application"]
)
def test_serves_an_application(reference: str, folder: Path) -> None:
    with running("wsgi", reference, *ANY_PORT, cwd=folder) as command:
        line = command.wait_for_line("^Serving ")
        assert line.string.startswith(f"Serving {reference} at http://127.0.0.1:")
        port = int(line.string.split(",")[0].rpartition(":")[2])
        assert fetch(port, "/a%20b", b"body") == b"http /a b body"
        end(command)


@pytest.mark.parametrize("concurrency", ["thread", "pool:3", "green", "fork", "sync", ""])
def test_concurrency(concurrency: str, folder: Path) -> None:
    option = ("--concurrency", concurrency) if concurrency else ()
    with running("wsgi", "applications:where", *ANY_PORT, *option, cwd=folder) as command:
        pid, _, thread = fetch(port_of(command)).decode().partition(" ")
        assert (int(pid) == command.process.pid) is (concurrency != "fork")
        assert thread.endswith("(process_request_thread)") is (concurrency in ("thread", "pool:3"))
        end(command)


def test_several_addresses(folder: Path) -> None:
    binds = (*ANY_PORT, "--bind", "unix:sock")
    with running("wsgi", "applications:application", *binds, cwd=folder) as command:
        assert fetch(port_of(command)) == b"http / "
        command.wait_for_line("^Serving applications:application at unix:sock, ")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "sock"))
            client.sendall(b"GET /unix HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            with client.makefile("rb") as file:
                assert file.read().endswith(b"http /unix ")
        end(command)


def test_tls(folder: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    tls = ("--tls-certificate", "server.pem")
    with running("wsgi", "applications:application", *ANY_PORT, *tls, cwd=folder) as command:
        line = command.wait_for_line("^Serving ").string
        assert " at https://127.0.0.1:" in line
        assert fetch(int(line.split(",")[0].rpartition(":")[2]), "/x", context=context) == b"https /x "
        end(command)


def test_requests_in_progress_finish(folder: Path) -> None:
    with running("wsgi", "applications:slow", *ANY_PORT, "--drain-timeout", "none", cwd=folder) as command:
        client = command.connect(port_of(command))
        client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        with client.makefile("rb") as file:
            while file.readline() != b"begun\n":
                pass
            command.send_signal(signal.SIGTERM)
            command.wait_for_log("server stopped")
            client.sendall(b"body")
            assert b"body" in file.read()
        assert command.wait() == 0


def test_it_is_made_for_a_network(folder: Path) -> None:
    with running("wsgi", "applications:application", *ANY_PORT, cwd=folder) as command:
        client = command.connect(port_of(command))
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")  # without a Host
        with client.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 400 ")
        end(command)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nothing:application", "there is no module 'nothing'"),
        ("applications.py:application", "there is no module 'applications.py'; for the file .* write applications"),
        ("applications:aplication", "module 'applications' has no 'aplication'; did you mean 'application'[?]"),
        ("applications", "'applications' names no application: write package.module:application, or .*"),
        ("applications:number", "applications:number is no WSGI application: it cannot be called with .*"),
        ("applications:create", "applications:create is no WSGI application: .*; did you mean applications:create.*"),
        ("applications:wrong()", r"applications:wrong\(\) is no WSGI application: .*start_response\)"),
        ("applications:number()", r"applications:number cannot be called without arguments"),
        ("applications:needs_more()", r"applications:needs_more cannot be called without arguments"),
        ("applications:broken()", r"applications:broken\(\) fails: LookupError: no database \(.*applications.py, .*\)"),
        ("applications:leaves()", r"applications:leaves\(\) fails: SystemExit: enough .*"),
        ("applications:asgi", "applications:asgi is an ASGI application; this serves WSGI ones"),
        ("applications:asgi_object", "applications:asgi_object is an ASGI application; this serves WSGI ones"),
    ],
)
def test_what_is_no_application(arguments: str, sentence: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(__import__("sys").modules, "applications", raising=False)
    with pytest.raises(DoorkeepError, match=f"^{sentence}$"):
        load_application(arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("applications:number",), "doorkeep wsgi: applications:number is no WSGI application: it cannot be called "),
        ((), "doorkeep wsgi: the following arguments are required: module:application"),
        (
            ("applications:application", "--bind", "udp://127.0.0.1:0"),
            "doorkeep wsgi: HTTP needs connections, and datagrams arrive at udp://127.0.0.1:0",
        ),
        (("applications:application", "--concurrency", "async"), "doorkeep wsgi: async "),
        (("applications:application", "--concurrency", "gren"), "doorkeep wsgi: --concurrency: 'gren' is no "),
        (
            ("applications:application", "--concurrency", "fork", "--pool-size", "3"),
            "doorkeep wsgi: --pool-size means nothing at tcp://127.0.0.1:8000 with fork",
        ),
        (
            ("applications:application", "--idle-timeot", "3"),
            "doorkeep wsgi: there is no option --idle-timeot; did you mean --idle-timeout?",
        ),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: tuple[str, ...], sentence: str, folder: Path) -> None:
    done = doorkeep("wsgi", *arguments, cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


# -- Programs on wsgiref -----------------------------------------------------------------------------------------

SIMPLE_SERVER = """\
import doorkeep
doorkeep.install()

import http.client, http.server, socketserver, threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, demo_app, make_server
from wsgiref.validate import validator

class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass

class ThreadingWSGIServer(socketserver.ThreadingMixIn, WSGIServer):
    pass

def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def fetch(server, *request):
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=50)
    client.request(*request)
    response = client.getresponse()
    answered = response.status, response.read()
    client.close()
    return answered

for server_class in (WSGIServer, ThreadingWSGIServer):
    print([base.__module__ for base in server_class.__mro__ if base.__name__ in ("HTTPServer", "TCPServer")])
    for wanted in (application, validator(demo_app)):
        with make_server("127.0.0.1", 0, wanted, server_class, Quiet) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            print(fetch(server, "POST", "/", b"hello") if wanted is application else fetch(server, "GET", "/a?b")[0])
            server.shutdown()
            serving.join()
"""


def test_programs_on_simple_server_keep_working(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SIMPLE_SERVER)
    done = python("program.py", cwd=tmp_path)
    assert done.stderr == ""
    bases = "['doorkeep.http.servers', 'doorkeep.listeners']"
    assert done.stdout == f"{bases}\n(200, b'hello')\n200\n" * 2


DEVELOPMENT_SERVERS = """\
import doorkeep
doorkeep.install()

import http.client, http.server, threading
import flask
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.serving import make_server
from tests.http.django_project import application as django_application

def fetch(server, *request):
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=50)
    client.request(*request)
    response = client.getresponse()
    answered = response.status, response.read()
    client.close()
    return answered

def check(server, *requests):
    assert isinstance(server, http.server.HTTPServer), type(server).__mro__
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    for request in requests:
        print(fetch(server, *request))
    server.shutdown()
    serving.join()
    server.server_close()

flask_application = flask.Flask("flask")

@flask_application.route("/", methods=["GET", "POST"])
def index():
    return flask.request.get_data() or "hello"

@flask_application.route("/stream")
def stream():
    return flask.Response(iter(["0;", "1;"]))

requests = ("GET", "/"), ("POST", "/", b"body"), ("GET", "/stream")
check(make_server("127.0.0.1", 0, flask_application, threaded=True), *requests)

django_server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
django_server.set_app(django_application)
check(django_server, ("GET", "/hello/ann?x=1"), ("POST", "/form", b""), ("GET", "/stream"))
"""


def test_the_development_servers_of_frameworks_keep_working(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(DEVELOPMENT_SERVERS)
    root = str(Path(__file__).parents[2])
    done = python(
        "-c", f"import sys; sys.path.insert(0, {root!r}); import runpy; runpy.run_path('program.py')", cwd=tmp_path
    )
    assert done.stdout.splitlines() == [
        "(200, b'hello')",
        "(200, b'body')",
        "(200, b'0;1;')",
        "(200, b'hello ann, 1')",
        "(200, b'{}')",
        "(200, b'0;1;2;')",
    ], done.stderr
