"""Waiting for the next request, or for the moment at which one may be taken in again."""

from __future__ import annotations

import contextlib
import selectors
from typing import TYPE_CHECKING, Any

from doorkeep.connection.accepting import Waker
from doorkeep.events import ListenerResumed, ListenerSuspended

if TYPE_CHECKING:
    from doorkeep.server import BaseServer

__all__ = ["ListenerWatch"]


class ListenerWatch:
    """A server's listener in a selector, there only while the server may accept.

    Belongs to the accepting thread, but for `wake`. `closed` turns true when the listener has been closed.
    """

    def __init__(self, server: BaseServer, selector: Any, may_be_woken: bool = True) -> None:
        self._server = server
        self._selector = selector
        # Costs descriptors, and the wait for a single request can mostly do without.
        self._waker = Waker() if may_be_woken else None
        self._descriptor: int | None = None
        self._reason: str | None = None
        self.closed = False
        self.waits_for_room = False
        if self._waker is not None:
            selector.register(self._waker, selectors.EVENT_READ)

    def wake(self) -> None:
        """End a wait in the accepting thread; for any thread and any signal handler."""
        if self._waker is not None:
            self._waker.wake()

    def close(self) -> None:
        """Leave the selector and free what was held."""
        self._unregister()
        if self._waker is not None:
            self._selector.unregister(self._waker)
            self._waker.close()

    def add(self, descriptor: int) -> None:
        """End a wait also when this descriptor becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def remove(self, descriptor: int) -> None:
        """Undo `add`, if it was called."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def wait(self, timeout: float | None) -> bool:
        """Wait for at most `timeout` seconds, None without end; return whether a request may be waiting."""
        pause = self._follow()
        if self.closed:
            return False
        limits = [limit for limit in (timeout, pause) if limit is not None]
        ready = self._selector.select(min(limits, default=None))
        requests = False
        for key, _ in ready:
            if self._waker is not None and key.fileobj is self._waker:
                self._waker.clear()
            elif key.fileobj is self._server:
                requests = self._reason is None
        if requests and self._server.fileno() != self._descriptor:
            requests = False  # closed or replaced meanwhile
        return requests

    def _follow(self) -> float | None:
        """Bring the selector up to date with the server; return after how many seconds to look again."""
        server = self._server
        descriptor = server.fileno()
        if descriptor == -1:
            self.closed = True
            self._unregister()
            return None
        self.waits_for_room = True  # before asking, so that room made meanwhile wakes us
        reason, pause = server._reason_to_pause()
        self.waits_for_room = reason == "limit"
        if reason != self._reason:
            self._tell(reason)
        if reason is not None:
            self._unregister()
        elif descriptor != self._descriptor:
            self._unregister()
            self._selector.register(server, selectors.EVENT_READ)
            self._descriptor = descriptor
        return pause

    def _tell(self, reason: str | None) -> None:
        self._reason = reason
        if reason is None:
            if ListenerResumed.listeners:
                ListenerResumed(self._server).emit()
        elif ListenerSuspended.listeners:
            ListenerSuspended(self._server, reason).emit()

    def _unregister(self) -> None:
        if self._descriptor is not None:
            # By its number, as the server may have another listener by now, or none.
            descriptor, self._descriptor = self._descriptor, None
            self._selector.unregister(descriptor)
