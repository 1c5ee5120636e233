"""Handlers of WebSockets that many tests serve with."""

from __future__ import annotations

import queue
from typing import Any

from doorkeep.http.websocket import WebSocketHandler

__all__ = ["Crowd", "Echo", "noting"]


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
