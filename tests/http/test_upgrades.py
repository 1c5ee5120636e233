"""What reads the connection behind a request that may upgrade it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.upgrades import UpgradeReader
from doorkeep.testing.plugin import Serve
from tests.http.models import in_one_process

LINES = b"one\ntwo\n"


def reader() -> Any:
    return UpgradeReader(io.BytesIO(LINES))


def into(file: Any, method: str) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: getattr(file, method)(buffer)])


WAYS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "read": (lambda file: file.read(), LINES),
    "read some": (lambda file: file.read(5), LINES[:5]),
    "read1": (lambda file: file.read1(5), LINES[:5]),
    "readline": (lambda file: file.readline(), b"one\n"),
    "readlines": (lambda file: file.readlines(), [b"one\n", b"two\n"]),
    "iteration": (list, [b"one\n", b"two\n"]),
    "readinto": (lambda file: into(file, "readinto"), LINES),
    "readinto1": (lambda file: into(file, "readinto1"), LINES),
}


@pytest.mark.parametrize("way", WAYS)
def test_reading_is_noted(way: str) -> None:
    read, expected = WAYS[way]
    file = reader()
    assert not file.was_read
    assert read(file) == expected
    assert file.was_read


def test_looking_is_no_reading() -> None:
    inner: Any = io.BytesIO(LINES)
    file = UpgradeReader(io.BufferedReader(inner))
    assert file.peek()[:3] == b"one"
    assert not file.was_read


def test_it_is_the_file_of_the_connection() -> None:
    inner = io.BufferedReader(io.FileIO(0, closefd=False))
    file: Any = UpgradeReader(inner)
    assert issubclass(type(file), io.BufferedIOBase)
    assert file.fileno() == file.name == 0
    assert file.was_read  # whoever has the descriptor may
    assert not file.closed
    file.close()
    assert inner.closed


class Mixed(BaseHTTPRequestHandler):
    """Changes the protocol for some, and reads for others without saying so."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/change":
            self.send_response(101)
            self.send_header("Upgrade", "echo")
            self.send_header("Connection", "upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.readline())
            return
        taken = self.rfile.readline() if self.path == "/read" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(taken)))
        self.end_headers()
        self.wfile.write(taken)

    do_POST = do_GET


def asking(path: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


@in_one_process
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_after_101_the_connection_is_read(method: bytes, server_class: Any, serve: Serve) -> None:
    answer = serve(server_class, Mixed).exchange(asking(b"/change", method) + b"hello\n")
    assert answer.endswith(b"\r\n\r\nhello\n")


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_who_does_not_read_may_be_asked_again(server_class: Any, serve: Serve) -> None:
    assert serve(server_class, Mixed).exchange(asking(b"/") * 3).count(b"200 OK") == 3


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_who_has_read_without_an_upgrade_has_the_connection_closed(server_class: Any, serve: Serve) -> None:
    assert serve(server_class, Mixed).exchange(asking(b"/read") * 3).count(b"200 OK") == 1
