"""Noticing a greenlet that holds the hub: one that computes, or blocks, while all others stand still."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from doorkeep.green.core import Hub

__all__ = ["Watchdog"]

# How often we look in the time that a greenlet may hold the hub: it is noticed an eighth of that late at most.
_LOOKS = 8


class Watchdog:
    """Tells of each greenlet that holds a hub for longer than allowed, once, from a thread of its own.

    `allowed` returns that time in seconds, anew for each look; None for no limit. `report` is called with the
    greenlet, the seconds that it was seen holding the hub for, and its stack. Code that
    keeps the interpreter's lock all the while, as a call of `sorted` does, is noticed when it gives it back, if its
    greenlet still runs then.
    """

    def __init__(
        self,
        hub: Hub,
        allowed: Callable[[], float | None],
        report: Callable[[Any, float, traceback.StackSummary], object],
    ) -> None:
        self._hub = hub
        self._allowed = allowed
        self._report = report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="doorkeep watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        hub = self._hub
        reported = -1
        allowed = self._allowed()
        while not self._ended.wait(_pause(allowed)):
            allowed = self._allowed()
            switches, held = hub.switches, time.monotonic() - hub.resumed
            if not hub.waiting and switches != reported and allowed is not None and held > allowed:
                self._tell(switches, held)
                reported = switches

    def _tell(self, switches: int, seconds: float) -> None:
        hub = self._hub
        greenlet = hub.current
        # Before we look at files for the lines, which lets the greenlet go on: it may be near its end.
        places = [*traceback.walk_stack(sys._current_frames().get(hub.thread))]
        if hub.switches == switches and not hub.waiting:  # else it has just gone on, and this may be another's stack
            self._report(greenlet, seconds, traceback.StackSummary.extract(reversed(places)))


def _pause(allowed: float | None) -> float:
    return 0.1 if allowed is None else max(allowed / _LOOKS, 0.001)
