"""What WSGI applications raise, and bodies that are not what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

import pytest

from doorkeep import events
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.http.applications import TEXT, answer, answering_with, failure_of, generating, returning
from tests.http.models import in_one_process, on_every_model


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


@pytest.mark.parametrize("blocks", [["text"], [b"a", "b"], [5], "text"])
def test_bodies_are_bytes(blocks: Any) -> None:
    error, written = failure_of(answering_with(blocks))
    assert isinstance(error, TypeError)
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
