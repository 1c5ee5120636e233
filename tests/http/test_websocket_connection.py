"""WebSockets that are open: messages in both directions."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.websocket import WebSocketHandler
from doorkeep.testing.plugin import Serve
from tests.http.models import in_one_process
from tests.http.websocket_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    frame,
)
from tests.http.websocket_handlers import Crowd, Echo, talk_to_the_crowd


def test_messages_in_fragments_with_pings_in_between(serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.send(frame(TEXT, "ä".encode()[:1], bits=0))
        client.send(frame(PING, b"there?"))
        assert client.receive() == Frame(8, PONG, b"there?")
        client.send(frame(CONTINUATION, b"", bits=0))
        client.send(frame(PONG, b"unasked"))
        client.send(frame(CONTINUATION, "ä".encode()[1:] + b"!"))
        assert client.receive() == Frame(8, TEXT, "ä!".encode())
        client.send(frame(BINARY, b"a", bits=0) + frame(CONTINUATION, b"b", bits=0) + frame(CONTINUATION))
        assert client.receive() == Frame(8, BINARY, b"ab")


def test_messages_of_no_bytes(serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.send(frame(TEXT) + frame(BINARY))
        assert client.receive() == Frame(8, TEXT, b"")
        assert client.receive() == Frame(8, BINARY, b"")


@pytest.mark.parametrize("step", [1, 3])
def test_frames_that_come_in_pieces(step: int, serve: Serve) -> None:
    data = frame(TEXT, b"x" * 130) + frame(PING) + frame(CLOSE, close_payload(1000))
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
        assert client.receive() == Frame(8, TEXT, b"x" * 130)
        assert client.receive() == Frame(8, PONG, b"")
        assert client.close_code() == 1000


def test_sending_fragments(serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            self.send_fragments(iter(["one", "two"]))
            self.send_fragments([b"three"])
            self.send_fragments([])
            self.send(bytearray(b"bytes"))
            self.send(memoryview(b"view"))

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        assert [client.receive() for _ in range(7)] == [
            Frame(0, TEXT, b"one"),
            Frame(0, CONTINUATION, b"two"),
            Frame(8, CONTINUATION, b""),
            Frame(0, BINARY, b"three"),
            Frame(8, CONTINUATION, b""),
            Frame(8, BINARY, b"bytes"),
            Frame(8, BINARY, b"view"),
        ]
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.close_code() == 1000


@pytest.mark.parametrize("fragments", [["text", b"bytes"], [5], ["a", 5]])
def test_fragments_of_several_kinds_are_no_message(fragments: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            with pytest.raises(TypeError):
                self.send_fragments(fragments)
            with pytest.raises(TypeError):
                self.send(5)  # type: ignore[arg-type]  # that is what is tested
            self.close()

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        if fragments[0] != 5:
            assert client.receive() == Frame(0, TEXT, fragments[0].encode())
            assert client.close_code() == 1011
        else:
            client.send(frame(CLOSE))
            assert client.close_code() == 1000


def test_a_message_may_be_so_long(serve: Serve) -> None:
    class Small(Echo):
        max_message_size = 300

    served = serve(ThreadingHTTPServer, Small)
    with RawClient(served.connect()) as client:
        client.send(frame(TEXT, b"x" * 300))
        assert client.receive() == Frame(8, TEXT, b"x" * 300)
        client.send(frame(TEXT, b"x" * 200, bits=0) + frame(CONTINUATION, b"x" * 100))
        assert client.receive() == Frame(8, TEXT, b"x" * 300)
        client.send(frame(TEXT, b"x" * 301))
        assert client.close_code() == 1009
    with RawClient(served.connect()) as client:
        client.send(frame(TEXT, b"x" * 200, bits=0) + frame(CONTINUATION, b"x" * 101))
        assert client.close_code() == 1009
    with RawClient(served.connect()) as client:
        client.send(frame(BINARY, b"", length=2**62))  # refused for its head alone
        assert client.close_code() == 1009


@in_one_process
@pytest.mark.parametrize("headers", ["", DEFLATE])
def test_messages_of_several_senders_are_whole(headers: str, server_class: Any, serve: Serve) -> None:
    with RawClient(serve(server_class, Crowd).connect(), headers) as client:
        talk_to_the_crowd(client)


@in_one_process
def test_threads_beside_the_hub_can_send(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            thread = threading.Thread(target=self.send_many)
            thread.start()
            for message in self:
                self.send(message)
            thread.join()

        def send_many(self) -> None:
            for _ in range(50):
                self.send("thread" * 5000)

    with RawClient(serve(server_class, Handler).connect()) as client:
        client.send(frame(TEXT, b"handler") * 50)
        received = [client.receive() for _ in range(100)]
        client.send(frame(CLOSE))
        assert client.receive() == Frame(8, CLOSE, b"")
    assert received.count(Frame(8, TEXT, b"thread" * 5000)) == received.count(Frame(8, TEXT, b"handler")) == 50
