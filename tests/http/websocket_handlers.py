"""Handlers of WebSockets that many tests serve with."""

from __future__ import annotations

import queue
from collections import Counter
from typing import Any

from doorkeep.http.websocket import WebSocketHandler
from tests.http.websocket_client import CLOSE, TEXT, Frame, Messages, RawClient, frame

__all__ = ["Crowd", "Echo", "noting", "talk_to_the_crowd"]


class Echo(WebSocketHandler):
    """Answers each message with the message. Notes how it ended."""

    ended: queue.Queue[tuple[int, str]]

    def handle_websocket(self) -> None:
        for message in self:
            self.send(message)
        if hasattr(self, "ended"):
            self.ended.put((self.close_code, self.close_reason))


def noting(handler: type[WebSocketHandler] = Echo) -> Any:
    """Return a handler whose class attribute `ended` is a queue of its own."""
    return type("Noting", (handler,), {"ended": queue.Queue()})


class Crowd(WebSocketHandler):
    """Has several tasks send at the same time, in fragments too, while it receives."""

    def handle_websocket(self) -> None:
        from doorkeep.green import spawn

        tasks = [spawn(self.send_many, number) for number in range(4)]
        for message in self:
            self.send(message)
        for task in tasks:
            task.result()

    def send_many(self, number: int) -> None:
        for _ in range(25):
            self.send(str(number) * 70_000)
            self.send_fragments([str(number) * 3, str(number) * 4])


def talk_to_the_crowd(client: RawClient) -> None:
    """Receive all that a `Crowd` sends, have it echo some meanwhile, and close."""
    peer = Messages(client)
    received: Counter[str] = Counter()
    for turn in range(211):  # 50 of each task, and the echoes, which come when they come
        if turn % 20 == 0:
            client.send(frame(TEXT, b"echo"))
        message = peer.receive()
        assert message == "echo" or len(set(message)) == 1
        received[message[0]] += 1
    assert received == {"0": 50, "1": 50, "2": 50, "3": 50, "e": 11}
    client.send(frame(CLOSE))
    assert client.receive() == Frame(8, CLOSE, b"")
    assert client.receive() is None
