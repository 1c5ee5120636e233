"""How the handler of a conversation that goes on learns that its server drains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doorkeep.server import BaseServer

__all__ = ["DrainNotice"]

logger = logging.getLogger("doorkeep.server")


class DrainNotice:
    """Calls a function, once, when the server drains while a `with` block of a request's handler lasts.

    The call runs beside the handler, and the block does not end amid it. Where the server drains already, the block
    begins with the call.
    """

    def __init__(self, server: BaseServer, request: Any, function: Callable[[], object]) -> None:
        self._server = server
        self._connection = server._requests_in_progress.get(request)
        self._function = function
        # Held by whoever is first: the call, or the end of the block, after which there is none.
        self._once = threading.Lock()
        self._is_over = False
        self._outer: DrainNotice | None = None

    def __enter__(self) -> None:
        connection = self._connection
        if connection is None:  # a datagram, of a batch
            return
        self._start = self._server._beside()
        self._outer = connection.drain_notice
        connection.drain_notice = self  # first, so that a drain that begins now either finds it or is seen
        self._server._expect_drain()
        if self._server._is_to_end(connection.task):
            self._call()

    def __exit__(self, *error: object) -> None:
        if self._connection is None:
            return
        self._connection.drain_notice = self._outer
        if not self._once.acquire(blocking=False):
            self._server._requests_in_progress.wait(lambda: self._is_over, None)

    def give(self) -> None:
        """Have the function called soon, unless it has been; those of outer blocks too. For any thread."""
        try:
            self._start(self._call)
        except RuntimeError as error:  # no thread left, or the loop of the task has ended
            logger.warning("a handler cannot be told of the drain: %s", error)
        if self._outer is not None:
            self._outer.give()

    def _call(self) -> None:
        if not self._once.acquire(blocking=False):
            return
        try:
            self._function()
        except Exception:
            logger.exception("what on_drain was given failed")
        finally:
            self._is_over = True
            self._server._requests_in_progress.notify()
