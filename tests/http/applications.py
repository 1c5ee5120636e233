"""Applications of WSGI for tests, and ways to call them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse

__all__ = [
    "CLOSE",
    "TEXT",
    "answer",
    "answering_with",
    "echo",
    "environ_of",
    "failure_of",
    "generating",
    "returning",
]

TEXT = ("Content-Type", "text/plain")
CLOSE = b"Connection: close\r\n\r\n"


def answer(application: Any, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of what an application answers, in memory; the head without Server and Date."""
    response = converse(WSGIHandler.serving(application), request)
    head, _, body = response.partition(b"\r\n\r\n")
    return re.sub(rb"\r\n(Server|Date): [^\r]*", b"", head), body


def environ_of(request: bytes, **arguments: Any) -> Environ:
    """Return what an application is called with for a request."""
    found: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        found.append(environ)
        start_response("200 OK", [TEXT])
        return []

    converse(WSGIHandler.serving(application), request, **arguments)
    assert len(found) == 1
    return found[0]


def returning(*blocks: bytes, status: str = "200 OK", headers: Any = (TEXT,)) -> Any:
    """Return an application that answers with a list of blocks."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response(status, list(headers))
        return list(blocks)

    return application


def generating(*blocks: bytes, headers: Any = (TEXT,)) -> Any:
    """Return an application that answers with an iterator, which does not tell its length."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", list(headers))
        return iter(blocks)

    return application


def answering_with(result: Any) -> Any:
    """Return an application that answers with `result` itself."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])
        return result

    return application


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


def failure_of(application: Any, request: bytes = b"GET / HTTP/1.1\r\n\r\n") -> tuple[BaseException, bytes]:
    """Return what is raised by serving an application, and what the client gets."""
    caught: list[BaseException] = []
    written: list[bytes] = []

    class Handler(WSGIHandler.serving(application)):  # type: ignore[misc]  # made by a call
        def handle(self) -> None:
            try:
                super().handle()
            except Exception as error:
                caught.append(error)

    written.append(converse(Handler, request))
    assert len(caught) == 1
    return caught[0], written[0]
