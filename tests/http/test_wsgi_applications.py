"""WSGI applications as they are: of frameworks, of all kinds, and under the standard library's validator."""

from __future__ import annotations

import functools
import http.client
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ
from wsgiref.validate import validator

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.applications import CLOSE, TEXT, echo, returning
from tests.http.models import on_every_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 300,000 bytes, which are not all alike."""
    found = tmp_path / "file"
    found.write_bytes(b"0123456789" * 30_000)
    return found


def test_applications_of_all_kinds(serve: Serve) -> None:
    class Application:
        def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
            return echo(environ, start_response)

        def method(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
            return echo(environ, start_response)

    class Subclass(WSGIHandler):
        application = staticmethod(echo)

    applications: list[Any] = [echo, Application(), Application().method, functools.partial(echo)]
    handlers: Iterable[Any] = (
        *map(WSGIHandler.serving, applications),
        Subclass,
        Subclass.serving(echo),
        functools.partial(Subclass),
    )
    for handler in handlers:
        response = converse(handler, b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        assert response.endswith(b"\r\n\r\nhi")
    assert Subclass.serving(echo).__mro__[1] is Subclass


@on_every_model
@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
def test_the_standard_validator_has_nothing_to_say(method: bytes, server_class: Any, serve: Serve) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        source = environ["wsgi.input"]
        read = [source.read(2), source.readline(), *source, *source.readlines(), source.read(0)]
        environ["wsgi.errors"].write("")
        environ["wsgi.errors"].flush()
        start_response("200 OK", [TEXT, ("X-Read", repr(b"".join(read)))])
        return [b"one", b"two"]

    served = serve(server_class, WSGIHandler.serving(validator(application)))
    body = b"" if method != b"POST" else b"ab\ncd\ne"
    request = b"%b /a%%20b?c=d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (method, len(body), body)
    answered = served.exchange(request * 2)
    assert answered.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answered.count(b"X-Read: %b\r\n" % repr(body).encode()) == 2


@on_every_model
def test_an_application_of_flask(server_class: Any, serve: Serve, path: Path) -> None:
    import flask

    application = flask.Flask(__name__)

    @application.route("/hello/<name>")
    def hello(name: str) -> str:
        return f"hello {name}, {flask.request.args['x']}"

    @application.route("/form", methods=["POST"])
    def form() -> dict[str, str]:
        return dict(flask.request.form)

    @application.route("/length", methods=["PUT"])
    def length() -> str:
        return str(len(flask.request.get_data()))

    @application.route("/stream")
    def stream() -> flask.Response:
        return flask.Response(f"{number};" for number in range(3))

    @application.route("/file")
    def file() -> flask.Response:
        return flask.send_file(path)

    client = connected(serve(server_class, WSGIHandler.serving(application)))
    assert fetch(client, "GET", "/hello/%C3%A4nn?x=%E2%82%AC") == (200, "hello änn, €".encode())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(client, "POST", "/form", b"a=1&b=%C3%A4", headers) == (200, b'{"a":"1","b":"\\u00e4"}\n')
    assert fetch(client, "PUT", "/length", iter([b"abc", b"de"])) == (200, b"5")  # in chunks
    assert fetch(client, "GET", "/stream") == (200, b"0;1;2;")
    assert fetch(client, "GET", "/file") == (200, path.read_bytes())
    assert fetch(client, "GET", "/file", headers={"Range": "bytes=5-9"}) == (206, b"56789")
    assert fetch(client, "GET", "/nothing")[0] == 404


@on_every_model
def test_an_application_of_django(server_class: Any, serve: Serve, path: Path) -> None:
    from tests.http.django_project import application

    client = connected(serve(server_class, WSGIHandler.serving(application)))
    assert fetch(client, "GET", "/hello/%C3%A4nn?x=%E2%82%AC") == (200, "hello änn, €".encode())
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert fetch(client, "POST", "/form", b"a=1&b=%C3%A4", headers) == (200, b'{"a": "1", "b": "\\u00e4"}')
    assert fetch(client, "GET", "/stream") == (200, b"0;1;2;")
    assert fetch(client, "GET", f"/file?{path}") == (200, path.read_bytes())
    assert fetch(client, "GET", "/where") == (200, f"http://127.0.0.1:{client.port}/where".encode())
    assert fetch(client, "GET", "/nothing")[0] == 404
    assert fetch(client, "GET", "/fails")[0] == 500
    client.close()


def test_requests_of_flask_wait_side_by_side_and_are_not_mixed_up(serve: Serve) -> None:
    import flask

    from doorkeep.green import Event

    application = flask.Flask(__name__)
    entered: list[str] = []
    both = Event()

    @application.route("/<name>")
    def wait(name: str) -> str:
        entered.append(name)
        if len(entered) == 2:
            both.set()
        return f"{both.wait(30)} {name} {flask.request.args['x']}"

    served = serve(GreenHTTPServer, WSGIHandler.serving(application))
    clients = [served.connect() for _ in range(2)]
    for number, client in enumerate(clients):
        client.sendall(b"GET /%d?x=%d HTTP/1.1\r\n" % (number, number) + CLOSE)
    for number, client in enumerate(clients):
        with client.makefile("rb") as file:
            assert file.read().endswith(b"True %d %d" % (number, number))


def connected(served: Served[Any]) -> http.client.HTTPConnection:
    """Return a client that keeps its connection."""
    client = http.client.HTTPConnection("127.0.0.1", served.address[1], timeout=30)
    client.sock = served.connect()
    return client


def fetch(client: http.client.HTTPConnection, method: str, target: str, body: Any = None, headers: Any = None) -> Any:
    """Return status and body of what a client gets."""
    client.request(method, target, body, headers or {})
    response = client.getresponse()
    return response.status, response.read()


def test_green_applications_wait_side_by_side(serve: Serve) -> None:
    from doorkeep.green import Event

    both = Event()
    waiting = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        waiting.append(threading.get_ident())
        if len(waiting) == 2:
            both.set()
        return [repr(both.wait(30)).encode()]

    served = serve(GreenHTTPServer, WSGIHandler.serving(application))
    clients = [served.connect() for _ in range(2)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\n" + CLOSE)
    for client in clients:
        with client.makefile("rb") as file:
            assert file.read().endswith(b"\r\n\r\nTrue")
    assert len(set(waiting)) == 1


def test_bare_requests_are_answered_with_the_body_alone() -> None:
    assert converse(WSGIHandler.serving(returning(b"hello")), b"GET /\r\n") == b"hello"
