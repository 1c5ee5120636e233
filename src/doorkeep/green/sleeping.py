"""Waiting for nothing but time."""

from __future__ import annotations

import time

from doorkeep.green.hub import current_hub
from doorkeep.green.timeouts import limited
from doorkeep.green.waiting import park_until

__all__ = ["sleep"]


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
