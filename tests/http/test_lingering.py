"""The lingering close: a client that is still sending gets to see its answer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http import lingering
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.http.encryption import encrypted
from tests.http.models import in_one_process, on_every_model

MUCH = bytes(8 << 20)
REQUESTS = [
    pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * len(MUCH), b"431", id="header"),
    pytest.param(b"GET /" + b"x" * len(MUCH), b"414", id="target"),
    pytest.param(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n" + MUCH, b"400", id="header line"),
    pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n" + MUCH, b"501", id="body"),
    pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" + MUCH, b"501", id="chunks"),
    pytest.param(
        b"PUT / HTTP/1.1\r\nContent-Length: 9000000\r\nExpect: 100-continue\r\n\r\n" + MUCH, b"417", id="expectation"
    ),
]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        self.send_error(417)
        return False


@on_every_model
@pytest.mark.parametrize(("request_", "status"), REQUESTS)
def test_an_error_is_seen(serve: Serve, server_class: Any, request_: bytes, status: bytes) -> None:
    answer = serve(server_class, Handler).exchange(request_)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"</html>\n")


@on_every_model
@pytest.mark.parametrize(("request_", "status"), REQUESTS)
def test_an_error_is_seen_under_tls(
    serve: Serve, server_class: Any, tmp_path: Path, request_: bytes, status: bytes
) -> None:
    certificate, context = encrypted(tmp_path)
    plain = serve(server_class, Handler, tls_certificate=certificate).connect()
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client:
        client.sendall(request_)
        with client.makefile("rb") as file:
            answer = file.read()  # up to the server's goodbye
        client.shutdown(socket.SHUT_RDWR)  # as a child may have inherited it
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"</html>\n")


@in_one_process
def test_who_never_ends_is_not_waited_for_long(
    serve: Serve, server_class: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doorkeep.http.handler.LINGER", 0.1)
    certificate, context = encrypted(tmp_path)
    served = serve(server_class, Handler, tls_certificate=certificate)
    with context.wrap_socket(served.connect(), server_hostname="localhost") as client:
        client.sendall(b"nonsense\r\n")
        while client.recv(1000):
            pass
        with pytest.raises(OSError, match=r".*"):
            while True:
                socket.socket.send(client, b"x")


def test_where_there_is_nobody() -> None:
    lingering.linger(object(), 60)
    one, other = socket.socketpair()
    one.close()
    lingering.linger(one, 60)
    other.close()


def test_who_ends_too_is_waited_for_no_longer() -> None:
    one, other = socket.socketpair()
    with one, other:
        waiting = Background(lingering.linger, one, 60)
        assert other.recv(1) == b""
        other.sendall(b"more")
        other.close()
        waiting.result()
