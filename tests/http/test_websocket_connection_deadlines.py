"""Clients of WebSockets that are silent, or take nothing."""

from __future__ import annotations

import contextlib
import queue
from typing import Any

import pytest

from doorkeep.http.websocket import WebSocketClosed, WebSocketHandler
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.models import in_one_process
from tests.http.websocket_client import CLOSE, PING, PONG, TEXT, Frame, RawClient, frame
from tests.http.websocket_handlers import Echo, noting


@in_one_process
def test_a_client_that_is_silent(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.02
        ping_timeout = 0.02

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        assert client.receive() == Frame(8, PING, b"")
        assert client.close_code() == 1011
    assert handler.ended.get(timeout=30) == (1011, "no answer to a ping")


@in_one_process
def test_a_client_that_answers_pings(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.02
        ping_timeout = 30.0

    with RawClient(serve(server_class, Handler).connect()) as client:
        for _ in range(3):
            assert client.receive() == Frame(8, PING, b"")
            client.send(frame(PONG))
        client.send(frame(CLOSE))
        assert next_but_pings(client) == Frame(8, CLOSE, b"")


@in_one_process
def test_deadlines_for_requests_are_none_for_it(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.1
        ping_timeout = 30.0

    served = serve(server_class, Handler, head_timeout=1.0, keep_alive_timeout=1.0, min_body_rate=1000)
    with opened_in_time(served) as client:
        for _ in range(12):  # for longer than that
            assert client.receive() == Frame(8, PING, b"")
            client.send(frame(PONG))
        client.send(frame(TEXT, b"there"))
        assert next_but_pings(client) == Frame(8, TEXT, b"there")


def next_but_pings(client: RawClient) -> Frame | None:
    """Return the next frame that is no ping."""
    while (found := client.receive()) == Frame(8, PING, b""):
        pass
    return found


def opened_in_time(served: Served[Any]) -> RawClient:
    """Open a WebSocket; again, where a slow machine has let the time of the request's head pass."""
    while True:
        with contextlib.suppress(ConnectionError):
            client = RawClient(served.connect())
            if client.status == "HTTP/1.1 101 Switching Protocols":
                return client


@in_one_process
def test_a_client_that_takes_nothing(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ping_interval = ping_timeout = 0.05
        close_timeout = 0.05
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            with pytest.raises(WebSocketClosed):
                while True:
                    self.send(b"x" * 1_000_000)
            self.ended.put(list(self))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()):
        assert handler.ended.get(timeout=30) == []
