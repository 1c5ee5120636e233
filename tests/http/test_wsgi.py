"""What becomes of what WSGI applications return, say and raise."""

from __future__ import annotations

import logging
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

import pytest

from doorkeep import events
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse, events_of
from doorkeep.testing.plugin import Serve
from tests.http.applications import CLOSE, TEXT, answer, failure_of, generating, returning
from tests.http.models import in_one_process, on_every_model


def test_the_length_of_what_is_there_is_told() -> None:
    assert answer(returning(b"hello"), b"GET / HTTP/1.1\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5",
        b"hello",
    )
    assert answer(returning(b"one", b"", b"two"), b"GET / HTTP/1.1\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6",
        b"onetwo",
    )
    assert answer(returning(), b"GET / HTTP/1.1\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0",
        b"",
    )


def test_tuples_are_as_good_as_lists() -> None:
    class Blocks(list[bytes]):
        closed = False

        def close(self) -> None:
            self.closed = True

    blocks = Blocks([b"one", b"two"])
    for result in ((b"one", b"two"), blocks):
        head, body = answer(closing(result), b"GET / HTTP/1.1\r\n\r\n")
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


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(status: str) -> None:
    head, body = answer(returning(status=status, headers=[]), b"GET / HTTP/1.1\r\n\r\n")
    assert (head, body) == (f"HTTP/1.1 {status}".encode(), b"")
    head, body = answer(returning(b"", status=status, headers=[]), b"GET / HTTP/1.1\r\n\r\n")
    assert (head, body) == (f"HTTP/1.1 {status}".encode(), b"")
    assert answer(returning(b"body", status=status, headers=[]), b"GET / HTTP/1.1\r\n\r\n")[1] == b""
    head, body = answer(returning(status=status, headers=[("Content-Length", "0")]), b"GET / HTTP/1.1\r\n\r\n")
    assert head.endswith(b"Content-Length: 0") is (status == "304 Not Modified")


def test_server_and_date_of_the_application() -> None:
    application = returning(b"", headers=[("Server", "mine"), ("DATE", "then")])
    response = converse(WSGIHandler.serving(application), b"GET / HTTP/1.1\r\n\r\n")
    assert re.findall(rb"(?i)\r\n(?:server|date): (.*)\r\n", response.replace(b"\r\n", b"\r\n\r\n")) == [
        b"mine",
        b"then",
    ]


def test_a_status_without_a_reason() -> None:
    assert answer(returning(status="299 "), b"GET / HTTP/1.1\r\n\r\n")[0].startswith(b"HTTP/1.1 299 \r\n")
    assert answer(returning(status="299"), b"GET / HTTP/1.1\r\n\r\n")[0].startswith(b"HTTP/1.1 299 \r\n")


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


# -- start_response, write and close -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        ("Connection", "close"),
        ("transfer-encoding", "chunked"),
        ("Keep-Alive", "timeout=5"),
        ("Upgrade", "h2c"),
        ("X-Split", "a\r\nSet-Cookie: b"),
        ("X-Split", "a\nb"),
        ("X-Zero", "a\0b"),
        ("X-Wide", "\u20ac"),
        ("X Space", "a"),
        ("X-Colon:", "a"),
        ("", "a"),
        ("X-\xe4", "a"),
        ("Content-Length", "five"),
        ("Content-Length", "-1"),
        ("Date", "one"),
        ("X-Number", 5),
        (5, "a"),
        ("X-Bytes", b"a"),
    ],
)
def test_headers_that_an_application_may_not_send(header: Any) -> None:
    headers = [TEXT, ("DATE", "another"), header] if header[0] == "Date" else [TEXT, header]
    error, written = failure_of(returning(b"", headers=headers))
    assert isinstance(error, (ValueError, TypeError))
    assert written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"text/plain" not in written


@pytest.mark.parametrize("status", ["", "OK", "20 OK", "2000 OK", "200OK", "101 Switching Protocols", "200 a\r\nb: c"])
def test_statuses_that_are_none(status: str) -> None:
    error, written = failure_of(returning(status=status))
    assert isinstance(error, ValueError)
    assert written.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("blocks", [["text"], [b"a", "b"], [5], "text"])
def test_bodies_are_bytes(blocks: Any) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])
        return blocks

    error, written = failure_of(application)
    assert isinstance(error, TypeError)
    assert written.startswith(b"HTTP/1.1 500 ")


def test_start_response_must_be_called() -> None:
    for result in ([], [b"a"], iter([b"a"]), iter([])):
        error, written = failure_of(lambda environ, start_response, result=result: result)
        assert isinstance(error, RuntimeError)
        assert written.startswith(b"HTTP/1.1 500 ")


def test_start_response_in_the_iteration() -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        yield b""
        start_response("200 OK", [("Content-Length", "1")])
        yield b"a"

    assert answer(application, b"GET / HTTP/1.1\r\n\r\n") == (b"HTTP/1.1 200 OK\r\nContent-Length: 1", b"a")


def test_start_response_a_second_time_needs_a_reason() -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        start_response("404 Not Found", [TEXT])
        return []

    assert isinstance(failure_of(application)[0], RuntimeError)


def test_an_error_replaces_what_has_not_been_sent() -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "100")])
        try:
            raise LookupError
        except LookupError:
            start_response("503 Try Later", [TEXT], sys.exc_info())
        return [b"sorry"]

    head, body = answer(application, b"GET / HTTP/1.1\r\n\r\n")
    assert head == b"HTTP/1.1 503 Try Later\r\nContent-Type: text/plain\r\nContent-Length: 5"
    assert body == b"sorry"


def test_an_error_is_raised_again_when_the_head_has_been_sent() -> None:
    raised_in_application = []

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"begun"
        try:
            raise LookupError("reason")
        except LookupError:
            try:
                start_response("500 Oh", [TEXT], sys.exc_info())
            except LookupError as error:
                raised_in_application.append(error)
                raise

    error, written = failure_of(application)
    assert [error] == raised_in_application
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"500" not in written


def test_write() -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [("Content-Length", "6")])
        write(b"one")
        write(b"")
        return [b"two"]

    assert answer(application, b"GET / HTTP/1.1\r\n\r\n") == (b"HTTP/1.1 200 OK\r\nContent-Length: 6", b"onetwo")


@in_one_process
def test_blocks_are_sent_as_they_come(server_class: Any, serve: Serve) -> None:
    go_on = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b""
        yield b"first"
        go_on.wait(30)  # holds up a green server as a whole
        yield b"last"

    client = serve(server_class, WSGIHandler.serving(application)).connect()
    client.sendall(b"GET / HTTP/1.1\r\n" + CLOSE)
    with client.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert file.read(5) == b"first"  # while the application has more to come
        go_on.set()
        assert file.read() == b"last"


class Closing:
    """An iterable that notes that it is closed, and may raise."""

    def __init__(self, *blocks: Any) -> None:
        self.blocks = blocks
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks:
            if isinstance(block, Exception):
                raise block
            yield block

    def close(self) -> None:
        self.closed += 1


def closing(result: Any) -> Any:
    """Return an application that answers with `result`."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])
        return result

    return application


def test_close_is_called() -> None:
    result = Closing(b"a", b"b")
    assert converse(WSGIHandler.serving(closing(result)), b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nab")
    assert result.closed == 1
    result = Closing(b"a")
    answer(closing(result), b"HEAD / HTTP/1.1\r\n\r\n")
    assert result.closed == 1


@pytest.mark.parametrize("blocks", [(LookupError(),), (b"a", LookupError())])
def test_close_is_called_after_an_error(blocks: Any) -> None:
    result = Closing(*blocks)
    error, _ = failure_of(closing(result))
    assert isinstance(error, LookupError)
    assert result.closed == 1


@in_one_process
def test_close_is_called_when_the_client_has_gone(
    server_class: Any, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 100_000

        def close(self) -> None:
            closed.set()

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])
        return Endless()

    served = serve(server_class, WSGIHandler.serving(application))
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(10)
    client.close()
    assert closed.wait(30)
    served.server.drain()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_client_that_has_gone_before_the_answer(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    entered, gone, ended = threading.Event(), threading.Event(), threading.Event()

    class Handler(WSGIHandler):
        @staticmethod
        def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
            entered.set()
            gone.wait(30)
            start_response("200 OK", [TEXT])
            return [b"for nobody"]

        def finish(self) -> None:
            super().finish()
            ended.set()

    client = serve(ThreadingHTTPServer, Handler).connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert entered.wait(30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(client)  # resets the connection
    gone.set()
    assert ended.wait(30)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


# -- Failures ------------------------------------------------------------------------------------------------------


@on_every_model
def test_a_failure_before_the_head_is_an_error_500(server_class: Any, serve: Serve) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        raise LookupError("secret")

    served = serve(server_class, WSGIHandler.serving(application))
    answered = served.exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert answered.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert answered.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answered
    assert b"secret" not in answered
    assert b"200 OK" not in answered


def test_a_failure_before_the_body_was_read(serve: Serve) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError

    lingers: list[bool] = []

    class Looks(WSGIHandler):
        def finish(self) -> None:
            assert self._exchanges is not None
            lingers.append(self._exchanges.leaves_unread)
            super().finish()

    served = serve(ThreadingHTTPServer, Looks.serving(application))
    request = b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    assert served.exchange(request).startswith(b"HTTP/1.1 500 ")
    assert served.exchange(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 500 ")
    assert lingers == [True, False]


@in_one_process
def test_a_failure_after_the_head_ends_the_connection(server_class: Any, serve: Serve) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"begun"
        raise LookupError

    with events_of(events.RequestFailed) as recorder:
        answered = serve(server_class, WSGIHandler.serving(application)).exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
        assert answered.endswith(b"\r\n\r\n5\r\nbegun\r\n")  # and no chunk that says that this is the end
        failed = recorder.wait_for(events.RequestFailed)
    assert isinstance(failed.error, LookupError)


@pytest.mark.parametrize("error", [ConnectionRefusedError("database"), TimeoutError("database"), BrokenPipeError()])
def test_a_failed_connection_of_the_application_is_not_that_of_its_client(error: Exception) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise error

    raised, written = failure_of(application)
    assert type(raised) is RuntimeError
    assert raised.__cause__ is error
    assert written.startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("length", ["2", "4"])
def test_bodies_that_are_not_as_long_as_they_say(length: str) -> None:
    error, written = failure_of(returning(b"abc", headers=[("Content-Length", length)]))
    assert isinstance(error, RuntimeError)
    assert written.startswith(b"HTTP/1.1 500 ")
    assert b"abc" not in written
    answered = answer(returning(b"", headers=[("Content-Length", length)]), b"HEAD / HTTP/1.1\r\n\r\n")
    assert answered == (b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode(), b"")


def test_bodies_that_become_too_long() -> None:
    error, written = failure_of(generating(b"ab", b"cd", headers=[("Content-Length", "3")]))
    assert isinstance(error, RuntimeError)
    assert written.endswith(b"\r\n\r\nab")


def test_bodies_that_are_too_short() -> None:
    for application in (
        generating(b"a", headers=[("Content-Length", "2")]),
        generating(headers=[("Content-Length", "2")]),
    ):
        error, _ = failure_of(application)
        assert isinstance(error, RuntimeError)
        assert str(error).startswith("the body is ")
