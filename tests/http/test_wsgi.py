"""What becomes of what WSGI applications return."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse
from doorkeep.testing.plugin import Serve
from tests.http.applications import CLOSE, TEXT, answer, answering_with, generating, returning
from tests.http.models import in_one_process, on_every_model


def test_the_length_of_what_is_there_is_told() -> None:
    for blocks in ([b"hello"], [b"one", b"", b"two"], []):
        body = b"".join(blocks)
        assert answer(returning(*blocks), b"GET / HTTP/1.1\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d" % len(body),
            body,
        )


def test_tuples_are_as_good_as_lists() -> None:
    class Blocks(list[bytes]):
        closed = False

        def close(self) -> None:
            self.closed = True

    blocks = Blocks([b"one", b"two"])
    for result in ((b"one", b"two"), blocks):
        head, body = answer(answering_with(result), b"GET / HTTP/1.1\r\n\r\n")
        assert head.endswith(b"\r\nContent-Length: 6")
        assert body == b"onetwo"
    assert blocks.closed


@on_every_model
def test_bodies_of_unknown_length(server_class: Any, serve: Serve) -> None:
    served = serve(server_class, WSGIHandler.serving(generating(b"one", b"", b"two")))
    answered = served.exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert answered.count(b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") == 2
    answered = served.exchange(b"GET / HTTP/1.0\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.endswith(b"\r\n\r\nonetwo")
    assert b"chunked" not in answered


def test_a_length_that_the_application_gives(serve: Serve) -> None:
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(generating(b"a", b"b", headers=[("Content-length", "2")])))
    answered = served.exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert answered.count(b"Content-length: 2\r\n\r\nab") == 2


@pytest.mark.parametrize(
    "application", [returning(b"hello"), generating(b"hello"), generating()], ids=["list", "iterator", "nothing"]
)
def test_head_has_no_body(application: Any, serve: Serve) -> None:
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(application))
    head, _, rest = served.exchange(b"HEAD / HTTP/1.1\r\n" + CLOSE).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b""
    assert b"Content-Length: 0" not in head


def test_head_takes_no_more_blocks_than_it_needs() -> None:
    taken = []

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        for number in range(10):
            taken.append(number)
            yield b"block"

    answer(application, b"HEAD / HTTP/1.1\r\n\r\n")
    assert taken == [0]


@in_one_process
def test_blocks_are_sent_as_they_come(server_class: Any, serve: Serve) -> None:
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b""
        yield b"first"
        assert go_on.wait(30)  # holds up a green server as a whole
        yield b"last"

    client = serve(server_class, WSGIHandler.serving(application)).connect()
    client.sendall(b"GET / HTTP/1.1\r\n" + CLOSE)
    with client.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert file.read(5) == b"first"  # while the application has more to come
        go_on.set()
        assert file.read() == b"last"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(status: str) -> None:
    for blocks in ([], [b""]):
        answered = answer(returning(*blocks, status=status, headers=[]), b"GET / HTTP/1.1\r\n\r\n")
        assert answered == (f"HTTP/1.1 {status}".encode(), b"")
    assert answer(returning(b"body", status=status, headers=[]), b"GET / HTTP/1.1\r\n\r\n")[1] == b""
    head, _ = answer(returning(status=status, headers=[("Content-Length", "0")]), b"GET / HTTP/1.1\r\n\r\n")
    assert head.endswith(b"Content-Length: 0") is (status == "304 Not Modified")


def test_server_and_date_of_the_application() -> None:
    application = returning(b"", headers=[("Server", "mine"), ("DATE", "then")])
    response = converse(WSGIHandler.serving(application), b"GET / HTTP/1.1\r\n\r\n")
    assert re.findall(rb"(?i)\r\n(?:server|date): (.*)\r\n", response.replace(b"\r\n", b"\r\n\r\n")) == [
        b"mine",
        b"then",
    ]


def test_a_status_without_a_reason() -> None:
    for status in ("299 ", "299"):
        assert answer(returning(status=status), b"GET / HTTP/1.1\r\n\r\n")[0].startswith(b"HTTP/1.1 299 \r\n")


def test_any_method_reaches_the_application() -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        return [environ["REQUEST_METHOD"].encode()]

    for method in (b"GET", b"PROPFIND", b"get", b"X-y"):
        assert answer(application, method + b" / HTTP/1.1\r\n\r\n")[1] == method
    assert answer(application, b"CONNECT a:1 HTTP/1.1\r\n\r\n")[0].startswith(b"HTTP/1.1 501 ")


def test_attributes_that_do_not_exist_do_not() -> None:
    handler: Any = object.__new__(WSGIHandler)
    with pytest.raises(AttributeError, match="'WSGIHandler' object has no attribute 'nothing'"):
        handler.nothing  # noqa: B018  # that is what is tested
