"""WebSockets: the handshake, and other implementations of clients."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from doorkeep import events
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.websocket import WebSocketHandler
from doorkeep.testing import converse, events_of
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.http.models import in_one_process, on_every_model
from tests.http.websocket_client import (
    ACCEPT,
    BINARY,
    CLOSE,
    DEFLATE,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    frame,
)
from tests.http.websocket_handlers import Echo


@on_every_model
def test_opens_and_echoes(server_class: Any, serve: Serve) -> None:
    with RawClient(serve(server_class, Echo).connect()) as client:
        assert client.status == "HTTP/1.1 101 Switching Protocols"
        assert client.headers["Upgrade"] == "websocket"
        assert client.headers["Connection"] == "Upgrade"
        assert client.headers["Sec-WebSocket-Accept"] == ACCEPT
        assert "Sec-WebSocket-Extensions" not in client.headers
        assert "Sec-WebSocket-Protocol" not in client.headers
        client.send(frame(TEXT, "grüß".encode()))
        assert client.receive() == Frame(8, TEXT, "grüß".encode())
        client.send(frame(BINARY, bytes(range(256)) * 300))
        assert client.receive() == Frame(8, BINARY, bytes(range(256)) * 300)
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.close_code() == 1000


def test_frames_right_behind_the_handshake(serve: Serve) -> None:
    client = serve(ThreadingHTTPServer, Echo).connect()
    handshake = (
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    client.sendall(handshake + frame(TEXT, b"early") + frame(CLOSE))
    with client.makefile("rb") as file:
        assert b"".join(iter(file.readline, b"\r\n")).startswith(b"HTTP/1.1 101 ")
        assert file.read() == b"\x81\x05early\x88\x00"


def test_in_memory() -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
    request = f"GET / HTTP/1.1\r\n{lines}\r\n".encode()
    written = converse(Echo, request + frame(TEXT, b"one") + frame(TEXT, b"two") + frame(CLOSE))
    assert written.endswith(b"\r\n\r\n\x81\x03one\x81\x03two\x88\x00")
    assert converse(Echo, request + frame(3)).partition(b"\r\n\r\n")[2][2:4] == b"\x03\xea"  # 1002


HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Upgrade": None}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": None}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Host": None}, 400),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZQ=="}, 400),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBs\xe4\xf6Bub25jZQ=="}, 400),
        ({"Content-Length": "1"}, 400),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; ="}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "localhost"}, 403),
        ({"Origin": "https://LOCALHOST"}, 101),
        ({"Origin": "http://localhost"}, 101),
        ({"Sec-WebSocket-Extensions": "unknown; a=b"}, 101),
        ({"X-Other": "y"}, 101),
    ],
)
def test_what_a_handshake_must_be(changed: dict[str, str | None], status: int, serve: Serve) -> None:
    headers = HANDSHAKE | changed
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    request = f"GET / HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + frame(CLOSE)
    client = serve(ThreadingHTTPServer, Echo).connect()
    client.sendall(request)
    with client.makefile("rb") as file:
        assert file.readline().split()[1] == b"%d" % status
        head = b"".join(iter(file.readline, b"\r\n"))
    if status == 426:
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert b"\r\nConnection: Upgrade\r\n" in head
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in head


def test_several_keys_are_none(serve: Serve) -> None:
    with RawClient(
        serve(ThreadingHTTPServer, Echo).connect(), "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    ) as client:
        assert client.status.startswith("HTTP/1.1 400 ")


def test_other_methods_and_versions_cannot_open_one(serve: Serve) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
    served = serve(ThreadingHTTPServer, Echo)
    assert served.exchange(f"POST / HTTP/1.1\r\n{lines}\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert served.exchange(f"GET / HTTP/1.0\r\n{lines}\r\n".encode()).startswith(b"HTTP/1.1 426 ")


@in_one_process
def test_other_requests_of_the_same_handler(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", 4)
            self.end_headers()
            self.wfile.write(b"page")

        do_POST = do_GET

    served = serve(server_class, Handler)
    for method in (b"GET", b"POST"):
        answered = served.exchange(method + b" / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 200 OK")
        assert answered.endswith(b"page")
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    received = b""
    while not received.endswith(b"page"):
        received += client.recv(1000)
    with RawClient(client) as websocket:  # on the same connection
        websocket.send(frame(TEXT, b"hi"))
        assert websocket.receive() == Frame(8, TEXT, b"hi")


def test_a_refused_upgrade_leaves_the_connection_open(serve: Serve) -> None:
    answered = serve(ThreadingHTTPServer, Echo).exchange(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
    assert answered.count(b"HTTP/1.1 426 Upgrade Required\r\n") == 2
    assert answered.count(b"This is for WebSockets.\n") == 2


def test_subprotocols(serve: Serve) -> None:
    class Handler(Echo):
        subprotocols = ("v2.chat", "v1.chat")

        def handle_websocket(self) -> None:
            self.send(repr(self.subprotocol))

    served = serve(ThreadingHTTPServer, Handler)
    for offered, chosen in (("v1.chat, v2.chat", "v2.chat"), ("other,v1.chat", "v1.chat"), ("other", None)):
        with RawClient(served.connect(), f"Sec-WebSocket-Protocol: {offered}\r\n") as client:
            assert client.headers.get("Sec-WebSocket-Protocol") == chosen
            assert client.receive() == Frame(8, TEXT, repr(chosen).encode())


def test_check_origin_can_be_overridden(serve: Serve) -> None:
    class Handler(Echo):
        def check_origin(self, origin: str | None) -> bool:
            return origin == "https://example.org"

    served = serve(ThreadingHTTPServer, Handler)
    with RawClient(served.connect(), "Origin: https://example.org\r\n") as client:
        assert client.status.startswith("HTTP/1.1 101 ")
    with RawClient(served.connect()) as client:
        assert client.status == "HTTP/1.1 403 Origin not allowed"


def test_a_handler_needs_its_method(serve: Serve) -> None:
    with events_of(events.RequestFailed) as recorder:
        with RawClient(serve(ThreadingHTTPServer, WebSocketHandler).connect()) as client:
            assert client.receive() == Frame(8, CLOSE, close_payload(1011))
        assert isinstance(recorder.wait_for(events.RequestFailed).error, NotImplementedError)


# -- Other implementations -----------------------------------------------------------------------------------------


class WsprotoClient:
    """The client's side of wsproto on a socket."""

    def __init__(self, sock: socket.socket, compressed: bool) -> None:
        self._socket = sock
        self._connection = WSConnection(ConnectionType.CLIENT)
        extensions = [PerMessageDeflate()] if compressed else []
        self.send(Request(host="localhost", target="/", extensions=extensions))

    def send(self, event: Any) -> None:
        """Send an event."""
        self._socket.sendall(self._connection.send(event))

    def events(self) -> Iterator[Any]:
        """Yield what the server sends."""
        while data := self._socket.recv(1 << 16):
            self._connection.receive_data(data)
            yield from self._connection.events()


@on_every_model
@pytest.mark.parametrize("compressed", [False, True])
def test_wsproto(compressed: bool, server_class: Any, serve: Serve) -> None:
    client = WsprotoClient(serve(server_class, Echo).connect(), compressed)
    found = client.events()
    accepted = next(found)
    assert isinstance(accepted, AcceptConnection)
    assert bool(accepted.extensions) is compressed
    random_bytes = random.Random(1).randbytes
    for message in ("", "a", "ö" * 5000, b"", random_bytes(100), random_bytes(200_000), b"zero" * 100_000):
        kind: Any = TextMessage if isinstance(message, str) else BytesMessage
        client.send(kind(message[:1], message_finished=False))
        client.send(kind(message[1:]))
        received = message[:0]
        for event in found:
            assert isinstance(event, kind)
            received += event.data
            if event.message_finished:
                break
        assert received == message
    client.send(Ping(b"?"))
    assert next(found) == Pong(b"?")
    client.send(CloseConnection(1000, "done"))
    assert next(found) == CloseConnection(1000, "done")
    assert next(found, None) is None


def test_the_client_of_the_package_websockets(serve: Serve) -> None:
    prerequisites.module("websockets")
    from websockets.sync import client

    served = serve(ThreadingHTTPServer, Echo)
    with client.connect(f"ws://127.0.0.1:{served.address[1]}/") as connection:
        for message in ("grüß", b"bytes" * 100_000, ["in ", "fragments"]):
            connection.send(message)
            assert connection.recv() == (message if not isinstance(message, list) else "in fragments")
        assert connection.ping().wait(30)
    assert connection.close_code == 1000


frames = strategies.builds(
    lambda opcode, payload, bits, mask, length: frame(opcode, payload, bits=bits, mask=mask, length=length),
    strategies.integers(0, 15),
    strategies.binary(max_size=300),
    strategies.integers(0, 15),
    strategies.sampled_from([b"\1\2\3\4", b"\0\0\0\0", None]),
    strategies.sampled_from([None, None, None, 0, 1, 125, 200, 70_000, 2**40]),
)


@given(strategies.lists(strategies.one_of(frames, strategies.binary(max_size=20))), strategies.booleans())
@settings(deadline=None)
def test_whatever_comes_is_answered_or_refused(pieces: list[bytes], compressed: bool) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items()) + (DEFLATE if compressed else "")
    written = converse(Echo, f"GET / HTTP/1.1\r\n{lines}\r\n".encode() + b"".join(pieces))
    assert written.startswith(b"HTTP/1.1 101 ")
