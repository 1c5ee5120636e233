"""A handler that says what it was asked, and how its answers are read."""

from __future__ import annotations

import re
import socket
from typing import Any

from doorkeep.http.handler import BaseHTTPRequestHandler

__all__ = ["Echo", "Handler", "all_of", "bodies", "receive_until", "statuses"]


class Handler(BaseHTTPRequestHandler):
    """Logs nothing."""

    protocol_version = "HTTP/1.1"
    sys_version = ""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)


class Echo(Handler):
    """Says what was asked, and with what body."""

    def do_GET(self) -> None:
        self.answer(f"{self.command} {self.path} ".encode() + self.rfile.read())

    do_POST = do_PUT = do_GET

    def do_LEAVE(self) -> None:
        self.answer(b"left")

    def do_CLOSE(self) -> None:
        self.close_connection = True
        self.answer(b"closing")

    def do_LINES(self) -> None:
        self.answer(b"|".join(self.rfile))


def bodies(answer: bytes) -> list[bytes]:
    """Return the bodies of the responses in an answer, each of which has a Content-Length."""
    found = []
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        if b"100 Continue" in head:
            continue
        match = re.search(rb"Content-Length: (\d+)", head)
        assert match is not None, head
        found.append(answer[: int(match[1])])
        answer = answer[int(match[1]) :]
    return found


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the responses in an answer."""
    return [int(found) for found in re.findall(rb"HTTP/1\.\d (\d{3}) ", answer)]


def receive_until(client: socket.socket, end: bytes) -> bytes:
    """Receive until what has come ends with `end`."""
    received = b""
    while not received.endswith(end):
        data = client.recv(1000)
        assert data, received
        received += data
    return received


def all_of(client: socket.socket) -> bytes:
    """Receive until the server ends the connection."""
    with client.makefile("rb") as file:
        return file.read()
