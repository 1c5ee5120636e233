"""Timers that are cancelled, and interrupts that meet."""

from __future__ import annotations

import sys
import time
from functools import partial

import pytest
from greenlet import GreenletExit, getcurrent

from doorkeep.green import run, timeout
from doorkeep.green.hub import current_hub


class Payload:
    """Something that a timer keeps alive."""

    def __call__(self) -> None:
        pass


def test_cancelled_timers_leave_before_they_are_due() -> None:
    def main() -> None:
        hub = current_hub()
        assert hub is not None
        kept = [hub.call_at(time.monotonic() + 3600 + number, Payload()) for number in range(10)]
        before = sys.getallocatedblocks()
        for _ in range(10_000):
            hub.call_at(time.monotonic() + 3600, Payload()).cancel()
        assert sys.getallocatedblocks() - before < 2000
        for timer in kept:
            timer.cancel()

    run(main)


def test_the_others_are_called_in_their_order() -> None:
    def main() -> list[int]:
        hub = current_hub()
        assert hub is not None
        called: list[int] = []
        now = time.monotonic()
        for number in range(200):
            hub.call_at(now + 0.001, lambda: None).cancel()
            if number % 20 == 0:
                hub.call_at(now + 0.001 + (200 - number) / 100_000, partial(called.append, number))
        while len(called) < 10:
            hub.give_way()
        return called

    assert run(main) == sorted(range(0, 200, 20), reverse=True)


def test_a_timeout_does_not_take_the_place_of_an_end() -> None:
    def main() -> None:
        hub = current_hub()
        assert hub is not None
        me = getcurrent()
        with timeout(0):
            hub.interrupt(me, GreenletExit())
            deadline = time.monotonic() + 0.01
            while time.monotonic() < deadline:
                pass
            hub.park()

    with pytest.raises(GreenletExit):
        run(main)
