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

# Seconds between two looks. Each takes the interpreter's lock from the hub: 80 a second cost an echo server 3 %.
_LEAST, _MOST = 0.001, 0.5


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
        pause = 0.0
        while not self._ended.wait(pause):
            allowed = self._allowed()
            if allowed is None:
                pause = _MOST
                continue
            switches, held = hub.switches, time.monotonic() - hub.resumed
            if hub.waiting or switches == reported:
                held = 0.0  # nobody's whose time could be up before that of one who goes on now
            elif held > allowed:
                self._tell(switches, held)
                reported, held = switches, 0.0
            # When the time is up of whoever holds the hub now.
            pause = min(max(allowed - held, _LEAST), _MOST)

    def _tell(self, switches: int, seconds: float) -> None:
        hub = self._hub
        greenlet = hub.current
        # Before we look at files for the lines, which lets the greenlet go on: it may be near its end.
        places = [*traceback.walk_stack(sys._current_frames().get(hub.thread))]
        if hub.switches == switches and not hub.waiting:  # else it has just gone on, and this may be another's stack
            self._report(greenlet, seconds, traceback.StackSummary.extract(reversed(places)))
