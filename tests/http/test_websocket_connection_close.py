"""How WebSockets are closed by either side, and that they end without it."""

from __future__ import annotations

import queue
import socket
import struct
from typing import Any

import pytest

from doorkeep import events
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.websocket import WebSocketClosed, WebSocketHandler
from doorkeep.http.websocket_connection import WebSocketConnection
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.http.models import in_one_process
from tests.http.websocket_client import CLOSE, PING, TEXT, Frame, RawClient, close_payload, frame
from tests.http.websocket_handlers import Echo, noting


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(1001, b"bye"), close_payload(4999)])
@in_one_process
def test_the_client_closes(payload: bytes, server_class: Any, serve: Serve) -> None:
    handler = noting()
    with RawClient(serve(server_class, handler).connect()) as client:
        client.send(frame(CLOSE, payload))
        assert client.receive() == Frame(8, CLOSE, payload)
        assert client.receive() is None
    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
    assert handler.ended.get(timeout=30) == (code, payload[2:].decode())


def test_nothing_can_be_sent_once_the_client_has_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[str]

        def handle_websocket(self) -> None:
            assert self.receive() is None
            with pytest.raises(WebSocketClosed) as raised:
                self.send("too late")
            self.ended.put(str(raised.value))

    reply = WebSocketConnection._reply

    def send_first(self: WebSocketConnection, event: Any) -> None:
        if self.code == 1006:  # as another thread may, between the client's close and the answer to it
            with pytest.raises(WebSocketClosed):
                self.send("too late")
        reply(self, event)

    monkeypatch.setattr(WebSocketConnection, "_reply", send_first)
    handler = noting(Handler)
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        client.send(frame(CLOSE, close_payload(1001, b"bye")))
        assert client.receive() == Frame(8, CLOSE, close_payload(1001, b"bye"))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == "the WebSocket is closed with 1001, bye"


@in_one_process
def test_the_server_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            self.close(4000, "enough" * 30)
            self.close(1000)  # too late
            with pytest.raises(WebSocketClosed):
                self.send("more")
            self.ended.put((list(self), self.close_code, self.receive()))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        found = client.receive()
        assert found == Frame(8, CLOSE, close_payload(4000, b"enough" * 20 + b"eno"))
        client.send(frame(TEXT, b"under way") + frame(PING) + frame(CLOSE, close_payload(4000)) + frame(TEXT, b"late"))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == (["under way"], 4000, None)


def test_codes_that_may_not_be_sent(serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000):
                with pytest.raises(ValueError, match=f"^a WebSocket cannot be closed with code {code}$"):
                    self.close(code)
            self.close(3000)

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        assert client.receive() == Frame(8, CLOSE, close_payload(3000))


@in_one_process
def test_the_end_of_the_handler_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            self.send("bye")

    with RawClient(serve(server_class, Handler).connect()) as client:
        assert client.receive() == Frame(8, TEXT, b"bye")
        assert client.receive() == Frame(8, CLOSE, close_payload(1000, b""))
        client.send(frame(TEXT, b"x") * 1000)
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.receive() is None


@in_one_process
def test_an_exception_of_the_handler_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            raise LookupError("secret")

    with events_of(events.RequestFailed) as recorder, RawClient(serve(server_class, Handler).connect()) as client:
        assert client.receive() == Frame(8, CLOSE, close_payload(1011))
        client.send(frame(CLOSE, close_payload(1011)))
        assert client.receive() is None
        assert isinstance(recorder.wait_for(events.RequestFailed).error, LookupError)


def test_a_thread_can_close_it(serve: Serve) -> None:
    opened: queue.Queue[WebSocketHandler] = queue.Queue()

    class Handler(Echo):
        def handle_websocket(self) -> None:
            opened.put(self)
            super().handle_websocket()

    handler = noting(Handler)
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        websocket = opened.get(timeout=30)
        closing = Background(websocket.close, 1001, "going")
        assert client.receive() == Frame(8, CLOSE, close_payload(1001, b"going"))
        closing.result()
        client.send(frame(CLOSE, close_payload(1001)))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == (1001, "")


@in_one_process
def test_a_client_that_does_not_close_too(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        close_timeout = 0.05

        def handle_websocket(self) -> None:
            pass

    with RawClient(serve(server_class, Handler).connect()) as client:
        assert client.close_code() == 1000


@in_one_process
def test_a_client_that_goes_without_a_word(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            received = list(self)
            with pytest.raises(WebSocketClosed, match=r"^the WebSocket is closed with 1006$") as raised:
                self.send("too late")
            self.ended.put((received, self.close_code, raised.value.code, self.receive()))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        client.send(frame(TEXT, b"last") + frame(TEXT, b"half")[:-2])
    assert handler.ended.get(timeout=30) == (["last"], 1006, 1006, None)


@in_one_process
def test_a_client_that_resets_the_connection(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = None

    handler = noting(Handler)
    client = RawClient(serve(server_class, handler).connect())
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.file.close()
    socket.socket.close(client.socket)
    assert handler.ended.get(timeout=30) == (1006, "")
