"""What tests of waiting have interrupted, and what interrupts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Generic, TypeVar

from greenlet import getcurrent

from doorkeep.green import sleep, spawn
from doorkeep.green.hub import current_hub

Result = TypeVar("Result")


class Interrupted(Exception):
    """Raised by a test in what waits."""


class Waiting(Generic[Result]):
    """A task of this hub whose greenlet is known, and which has begun to wait."""

    def __init__(self, function: Callable[..., Result], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self.task = spawn(self._run)
        sleep(0)

    def _run(self) -> Result:
        self._greenlet = getcurrent()
        return self._function(*self._arguments)

    def interrupt(self) -> None:
        """Have it raise `Interrupted` where it waits."""
        hub = current_hub()
        assert hub is not None
        hub.interrupt(self._greenlet, Interrupted())


class Bell:
    """Calls a signal handler once while the block lasts, in a moment, and not before it is `armed`."""

    def __init__(self, handler: Callable[[int, FrameType | None], object], *, armed: bool = True) -> None:
        self._handler = handler
        self.armed = armed

    def __enter__(self) -> Bell:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        # pytest's limit for a test may be on this timer.
        self._timer = signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        return self

    def __exit__(self, *_exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)
        signal.setitimer(signal.ITIMER_REAL, *self._timer)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            self._handler(number, frame)
