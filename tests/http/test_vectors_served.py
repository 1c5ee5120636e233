"""Every vector, as servers answer it."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Any

import pytest

from doorkeep.http.bodies import Body
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.reading import Seen
from tests.http.vectors import VECTORS, Vector

# A line of white space instead of a request ends the connection without a word, as in the standard library, and
# answers in the version 0.9 have no status.
WITHOUT_A_WORD = (
    "request line: two empty lines before",
    "request line: only empty lines",
    "request line: line of a space before",
    "version: 0.9, named",
    "coding: on 0.9",
)


class Echo(BaseHTTPRequestHandler):
    """Notes every request, by any method, with its body."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # so that all answers have a status

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._note

    def _note(self) -> None:
        body = self.rfile.read() if isinstance(self.rfile, Body) else b""
        self.server.seen.append(Seen(self.command, self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def received_from(client: socket.socket, data: bytes) -> bytes:
    """Send all, and return what comes back until the connection ends."""
    received = bytearray()
    with contextlib.suppress(OSError):  # what is refused is not read to its end
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionError):
        while piece := client.recv(65536):
            received += piece
    return bytes(received)


def answers_of(served: Served[Any], vector: Vector) -> tuple[list[Seen], list[int]]:
    """Return the requests that a server has seen, and the statuses that it has answered with."""
    served.server.seen = []
    with served.connect() as client:
        received = received_from(client, vector.data)
    if vector.name in WITHOUT_A_WORD:
        return served.server.seen, []
    statuses = [int(status) for status in re.findall(rb"^HTTP/1\.1 ([0-9]{3}) ", received, re.MULTILINE)]
    return served.server.seen, [status for status in statuses if status != 100]


def expected_of(vector: Vector) -> tuple[list[Seen], list[int]]:
    """Return what `answers_of` is to return."""
    seen = [answer for answer in vector.answers if isinstance(answer, Seen)]
    refused = [answer for answer in vector.answers if isinstance(answer, int)]
    if vector.name in WITHOUT_A_WORD:
        return seen, []
    return seen, [200] * len(seen) + refused


@pytest.mark.parametrize("host_required", [False, True])
@pytest.mark.parametrize("server_class", [HTTPServer, ThreadingHTTPServer, GreenHTTPServer])
def test_vectors(serve: Serve, server_class: type[HTTPServer], host_required: bool) -> None:
    served = serve(server_class, Echo, host_required=host_required)
    vectors = [vector for vector in VECTORS if vector.host_required is host_required]
    assert {
        vector.name: (answers, expected)
        for vector in vectors
        if (answers := answers_of(served, vector)) != (expected := expected_of(vector))
    } == {}
