"""Waiting for what another greenlet or another thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from greenlet import getcurrent

from doorkeep.green.core import Hub
from doorkeep.green.hub import current_hub

__all__ = ["Condition", "park_until"]


def park_until(hub: Hub, ready: Callable[[], bool], timeout: float | None) -> bool:
    """Park until `ready`, which is asked again whenever the greenlet is woken; return whether it is.

    That is False after `timeout` seconds; None waits without end.
    """
    if ready():
        return True
    if timeout is None:
        while not ready():
            hub.park()
        return True
    due = time.monotonic() + timeout
    timer = hub.call_at(due, partial(hub.wake, getcurrent()))
    try:
        while not ready():
            if time.monotonic() >= due:
                return False
            hub.park()
        return True
    finally:
        timer.cancel()


class _Waiter:
    """A greenlet that waits for a condition: what `threading.Condition` takes for a lock to release."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._greenlet = getcurrent()
        self.released = False

    def release(self) -> None:
        self.released = True
        # A signal handler that comes while all wait is in the thread, and has to end the kernel's wait all the same.
        if threading.get_ident() == self._hub.thread and not self._hub.waiting:
            self._hub.wake(self._greenlet)
        else:
            self._hub.call_from_thread(partial(self._hub.wake, self._greenlet))


class Condition(threading.Condition):
    """A `threading.Condition` for greenlets and threads alike, on a lock that no greenlet keeps while it waits."""

    _waiters: Any

    def __init__(self, lock: Any = None) -> None:
        super().__init__(threading.Lock() if lock is None else lock)

    def wait(self, timeout: float | None = None) -> bool:
        hub = current_hub()
        if hub is None:
            return super().wait(timeout)
        waiter = _Waiter(hub)
        self._waiters.append(waiter)
        self.release()
        try:
            return park_until(hub, lambda: waiter.released, timeout)
        except BaseException:
            if waiter.released:  # another is to have what we cannot take
                with self:
                    self.notify()
            raise
        finally:
            self.acquire()
            if not waiter.released:
                self._waiters.remove(waiter)
