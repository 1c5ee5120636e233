"""Connections that fail while a WebSocket is used."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from doorkeep.http.deflate import MessageBound
from doorkeep.http.websocket_connection import WebSocketClosed, WebSocketConnection
from tests.background import Background


class TakesNothing(socket.socket):
    """A connection that fails when something is sent, and does not tell who receives."""

    def sendall(self, *arguments: Any) -> None:
        raise BrokenPipeError


def test_who_receives_learns_that_sending_has_failed() -> None:
    ours, theirs = socket.socketpair()
    with theirs, TakesNothing(fileno=ours.detach()) as connection:
        websocket = WebSocketConnection(connection, b"", MessageBound(100), ping_interval=None, ping_timeout=None)
        receiving = Background(websocket.receive)
        with pytest.raises(WebSocketClosed, match="closed with 1006"):
            websocket.send("hello")
        assert receiving.result() is None
    assert websocket.code == 1006


def test_a_close_that_is_not_answered_is_not_followed_by_a_ping() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ours:
        websocket = WebSocketConnection(ours, b"", MessageBound(100), ping_interval=0.01, ping_timeout=None)
        websocket.close(1000)
        assert Background(websocket.receive).result() is None
        assert websocket.code == 1006
        assert theirs.recv(100) == b"\x88\x02\x03\xe8"
