"""Waiting for nothing but time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from doorkeep.green.hub import current_hub
from doorkeep.green.timeouts import limited
from doorkeep.green.waiting import park_until

__all__ = ["pauses", "sleep"]

# Seconds.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.1


def sleep(seconds: float) -> None:
    """Wait for `seconds`, while others run; 0 lets each of those that could run do so once.

    Outside of a hub it blocks the thread, as `time.sleep` does. `ValueError` if `seconds` is negative.
    """
    if not seconds >= 0:
        raise ValueError(f"the time to sleep must be zero seconds or more, not {seconds!r}")
    hub = current_hub()
    if hub is None:
        allowed, signal = limited(seconds)
        time.sleep(seconds if allowed is None else allowed)
        if signal is not None:
            raise signal
    elif seconds == 0:
        hub.give_way()
    else:
        park_until(hub, lambda: False, seconds)


def pauses() -> Iterator[float]:
    """Yield how many seconds to sleep between attempts: a millisecond at first, at last a tenth of a second."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
