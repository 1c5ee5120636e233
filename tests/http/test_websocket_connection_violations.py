"""What is no WebSocket: clients that break the protocol are told so, and closed."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.http.encryption import encrypted
from tests.http.models import in_one_process
from tests.http.websocket_client import BINARY, CLOSE, CONTINUATION, PING, TEXT, Frame, RawClient, close_payload, frame
from tests.http.websocket_handlers import Echo, noting


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"hi", mask=None), 1002, id="not masked"),
        pytest.param(frame(TEXT, b"hi", bits=12), 1002, id="RSV1 without an extension"),
        pytest.param(frame(TEXT, b"hi", bits=10), 1002, id="RSV2"),
        pytest.param(frame(TEXT, b"hi", bits=9), 1002, id="RSV3"),
        pytest.param(frame(3), 1002, id="reserved opcode 3"),
        pytest.param(frame(11), 1002, id="reserved opcode 11"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(frame(CLOSE, close_payload(1000, b"x" * 124)), 1002, id="long close"),
        pytest.param(frame(PING, bits=0), 1002, id="ping in fragments"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(frame(TEXT, b"a", bits=0) + frame(TEXT, b"b"), 1002, id="message in a message"),
        pytest.param(frame(TEXT, b"a", bits=0) + frame(BINARY, b"b"), 1002, id="other message in a message"),
        pytest.param(b"\x81\xfe\0\2" + frame(TEXT, b"hi")[2:], 1002, id="length in two bytes that needs none"),
        pytest.param(b"\x81\xff" + bytes(7) + b"\2" + frame(TEXT, b"hi")[2:], 1002, id="length in eight bytes"),
        pytest.param(b"\x81\xff\x80" + bytes(7) + bytes(4), 1002, id="negative length"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(TEXT, b"\xc3"), 1007, id="half a character"),
        pytest.param(
            frame(TEXT, b"\xc3", bits=0) + frame(CONTINUATION, b"a"), 1007, id="half a character in fragments"
        ),
        pytest.param(frame(TEXT, b"\xff", bits=0), 1007, id="no UTF-8 in a first fragment"),
        pytest.param(frame(CLOSE, b"\0"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, close_payload(999)), 1002, id="close 999"),
        pytest.param(frame(CLOSE, close_payload(1004)), 1002, id="close 1004"),
        pytest.param(frame(CLOSE, close_payload(1005)), 1002, id="close 1005"),
        pytest.param(frame(CLOSE, close_payload(1006)), 1002, id="close 1006"),
        pytest.param(frame(CLOSE, close_payload(1015)), 1002, id="close 1015"),
        pytest.param(frame(CLOSE, close_payload(2000)), 1002, id="close 2000"),
        pytest.param(frame(CLOSE, close_payload(5000)), 1002, id="close 5000"),
        pytest.param(frame(CLOSE, close_payload(1000, b"\xff")), 1007, id="reason that is no UTF-8"),
    ],
)
def test_what_breaks_the_protocol(data: bytes, code: int, serve: Serve) -> None:
    handler = noting()
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        client.send(frame(TEXT, b"before"))
        assert client.receive() == Frame(8, TEXT, b"before")
        client.send(data + frame(TEXT, b"after"))
        assert client.close_code() == code
    assert handler.ended.get(timeout=30)[0] == code


@in_one_process
def test_who_breaks_it_reads_why(server_class: Any, serve: Serve) -> None:
    with RawClient(serve(server_class, Echo).connect()) as client:
        sending = Background(send_without_end, client.socket, frame(TEXT, b"x" * 1000, mask=None))
        assert client.close_code() == 1002
        client.socket.close()
        with pytest.raises(ConnectionError):
            sending.result()


@in_one_process
def test_who_breaks_the_protocol_under_tls_sees_why(server_class: Any, serve: Serve, tmp_path: Path) -> None:
    certificate, context = encrypted(tmp_path)
    served = serve(server_class, Echo, tls_certificate=certificate)
    connection = context.wrap_socket(served.connect(), server_hostname="localhost", suppress_ragged_eofs=False)
    with RawClient(connection) as client:
        client.send(frame(3) + bytes(1 << 22))
        assert client.close_code() == 1002


@in_one_process
def test_a_client_that_stays_although_it_broke_the_protocol(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        close_timeout = 0.05

    with RawClient(serve(server_class, Handler).connect()) as client:
        client.send(frame(3))
        assert client.close_code() == 1002
        with pytest.raises(ConnectionError):  # as it is closed for good
            send_without_end(client.socket, b"x" * 1000)


def send_without_end(sock: socket.socket, data: bytes) -> None:
    while True:
        sock.sendall(data)
