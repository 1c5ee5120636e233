"""The close of what a WSGI application returns: it is called, whatever happens."""

from __future__ import annotations

import logging
import socket
import struct
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
from tests.http.applications import TEXT, answer, answering_with, failure_of
from tests.http.models import in_one_process


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


def test_close_is_called() -> None:
    result = Closing(b"a", b"b")
    assert converse(WSGIHandler.serving(answering_with(result)), b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nab")
    assert result.closed == 1
    result = Closing(b"a")
    answer(answering_with(result), b"HEAD / HTTP/1.1\r\n\r\n")
    assert result.closed == 1


@pytest.mark.parametrize("blocks", [(LookupError(),), (b"a", LookupError())])
def test_close_is_called_after_an_error(blocks: Any) -> None:
    result = Closing(*blocks)
    error, _ = failure_of(answering_with(result))
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

    served = serve(server_class, WSGIHandler.serving(answering_with(Endless())))
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(10)
    client.close()
    assert closed.wait(30)
    served.server.drain()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_client_that_has_gone_before_the_answer(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    entered, gone = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        entered.set()
        assert gone.wait(30)
        start_response("200 OK", [TEXT])
        return [b"for nobody"]

    served = serve(ThreadingHTTPServer, WSGIHandler.serving(application))
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert entered.wait(30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(client)  # resets the connection
    gone.set()
    served.server.drain()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
