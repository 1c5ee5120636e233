"""Limits to how long a block of code may wait."""

from __future__ import annotations

import math
import time
from functools import partial
from types import TracebackType
from typing import Any

from greenlet import getcurrent

from doorkeep.green.core import Hub
from doorkeep.green.hub import current_hub
from doorkeep.green.waiting import Condition

__all__ = ["BoundedCondition", "TimeIsUp", "limited", "timeout"]


class TimeIsUp(BaseException):
    """Ends a wait in a block whose time is up; the block makes a `TimeoutError` of it.

    No `Exception`, as blocks full of `except OSError` would take it for a failure of theirs, and go on.
    """


class timeout:
    """Limits how long the code of a `with` block may wait: `with timeout(5): ...`.

    When `seconds` are over, whatever the block waits for then, or waits for next, ends, and the block raises
    `TimeoutError`. 0 or less: whatever must wait at all; None: no limit. `ValueError` if it is no number. Of blocks
    within each other whose time is up, the outermost ends. One object may limit many blocks at a time.

    In a hub that goes for green sockets and all functions of `doorkeep.green`. In a thread it goes for the latter
    alone: a plain socket has `settimeout`. Does not stop code that computes or blocks the thread, nor what the
    block has spawned or offloaded.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and math.isnan(seconds):
            raise ValueError("a timeout must be a number of seconds or None, not nan")
        self.seconds = math.inf if seconds is None else seconds

    def __enter__(self) -> None:
        me = getcurrent()
        _innermost[me] = _Block(time.monotonic() + self.seconds, _innermost.get(me))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        me = getcurrent()
        block = _innermost.pop(me)
        if block.outer is not None:
            _innermost[me] = block.outer
        block.cancel()
        if error is block.signal:
            raise TimeoutError(f"not done within {self.seconds:g} seconds") from error


class _Block:
    """A block that a greenlet is in. A thread that runs no hub is one greenlet."""

    def __init__(self, due: float, outer: _Block | None) -> None:
        self.due = due
        self.outer = outer
        self.signal = TimeIsUp()
        self._greenlet = getcurrent()
        self._hub = current_hub() if due < math.inf else None
        if self._hub is not None:
            self._timer = self._hub.call_at(due, partial(self._time_is_up, self._hub))

    def _time_is_up(self, hub: Hub) -> None:
        # There is room for one signal. If that of an outer block is under way, all within is over too.
        block: _Block = self
        while block.outer is not None:
            block = block.outer
            if hub.forget_interrupt(self._greenlet, block.signal):
                break
        else:
            block = self
        if isinstance(hub.interrupt_of(self._greenlet), TimeIsUp | None):  # the end of a greenlet comes first
            hub.interrupt(self._greenlet, block.signal)

    def cancel(self) -> None:
        """Raise nothing any more. While the greenlet itself runs, no signal is under way to it."""
        if self._hub is not None:
            self._timer.cancel()


# The innermost block of each greenlet that is in one. Not in a context variable: what copies the context, as spawned
# tasks do, is not in the block.
_innermost: dict[Any, _Block] = {}


def limited(seconds: float | None) -> tuple[float | None, TimeIsUp | None]:
    """Return for how long the caller's thread may wait if it wants to for `seconds`, and what to raise afterwards.

    The latter is None if the time of no block is over by then, and in a hub, which ends waits by itself.
    """
    first = block = _innermost.get(getcurrent())
    if block is None or first is None or current_hub() is not None:
        return seconds, None
    now = time.monotonic()
    while block.outer is not None:
        block = block.outer
        if block.due <= max(first.due, now):  # of those whose time is up, the outermost
            first = block
    remaining = max(first.due - now, 0.0)
    if remaining == math.inf or (seconds is not None and seconds <= remaining):
        return seconds, None
    return remaining, first.signal


class BoundedCondition(Condition):
    """A `Condition` whose waits the `timeout` blocks around them end in threads too."""

    def wait(self, timeout: float | None = None) -> bool:
        seconds, signal = limited(timeout)
        if super().wait(seconds):
            return True
        if signal is not None:
            raise signal
        return False
