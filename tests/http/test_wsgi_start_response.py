"""start_response, and the write that it returns: what may be said, how often, and when."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

import pytest

from tests.http.applications import TEXT, answer, failure_of, returning


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
