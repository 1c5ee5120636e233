"""Time in a hub, and calls from other threads."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run
from tests.background import Background, eventually
from tests.green.failures import Oops, fail
from tests.green.hubs import let_others_run, park_until, the_hub

pytestmark = pytest.mark.usefixtures("poller")


class TestTime:
    def test_functions_are_called_in_the_order_of_their_moments(self) -> None:
        def main() -> list[str]:
            order: list[str] = []
            now = time.monotonic()
            for delay, letter in [(0.03, "d"), (0.01, "b"), (0.02, "c"), (-1.0, "a"), (0.03, "e")]:
                the_hub().call_at(now + delay, partial(order.append, letter))
            the_hub().call_at(now + 0.04, partial(the_hub().wake, getcurrent()))
            the_hub().park()
            assert time.monotonic() >= now + 0.04
            return order

        assert run(main) == list("abcde")

    def test_what_is_cancelled_is_not_called(self) -> None:
        def main() -> list[str]:
            called: list[str] = []
            now = time.monotonic()
            timers = [the_hub().call_at(now + delay, partial(called.append, str(delay))) for delay in (0, 0.001)]
            timers[0].cancel()
            the_hub().call_at(now + 0.002, partial(the_hub().wake, getcurrent()))
            the_hub().park()
            for timer in timers:
                timer.cancel()
            return called

        assert run(main) == ["0.001"]

    def test_a_function_may_schedule_others(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            left = 5

            def again() -> None:
                nonlocal left
                left -= 1
                if left:
                    hub.call_at(time.monotonic(), again)
                else:
                    hub.wake(me)

            hub.call_at(0, again)
            park_until(lambda: not left)

        run(main)

    def test_greenlets_that_go_on_hold_up_no_timer(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            the_hub().call_at(time.monotonic() + 0.001, lambda: rung.append(True))
            while not rung:
                let_others_run()

        run(main)

    def test_a_function_that_fails_harms_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error))

        def main() -> None:
            the_hub().call_at(0, fail)
            the_hub().call_at(0, partial(the_hub().wake, getcurrent()))
            the_hub().park()

        run(main)
        ((kind, error, traceback),) = told
        assert kind is Oops
        assert str(error) == "no"
        assert traceback is not None


class TestOtherThreads:
    def test_they_wake_a_hub_that_waits(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            woken: list[int] = []

            def wake() -> None:
                woken.append(threading.get_ident())
                hub.wake(me)

            def from_thread() -> None:
                assert eventually(lambda: hub.waiting)
                hub.call_from_thread(wake)

            thread = Background(from_thread)
            park_until(lambda: woken)
            thread.result()
            assert woken == [threading.get_ident()]

        run(main)

    def test_many_at_once(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            calls: list[tuple[int, int]] = []

            def from_thread(number: int) -> None:
                for turn in range(200):
                    hub.call_from_thread(partial(calls.append, (number, turn)))
                    hub.call_from_thread(partial(hub.wake, me))

            threads = [Background(from_thread, number) for number in range(8)]
            park_until(lambda: len(calls) == 1600)
            for number, thread in enumerate(threads):
                thread.result()
                assert [turn for caller, turn in calls if caller == number] == list(range(200))

        run(main)

    def test_a_function_that_fails_harms_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error))

        def main() -> None:
            hub = the_hub()
            hub.call_from_thread(fail)
            hub.call_from_thread(partial(hub.wake, getcurrent()))
            hub.park()

        run(main)
        assert [kind for kind, _, _ in told] == [Oops]

    def test_after_the_end_nobody_is_called(self) -> None:
        called: list[bool] = []
        hub = run(the_hub)
        hub.call_from_thread(partial(called.append, True))
        run(let_others_run)
        assert called == []

    def test_they_see_whether_the_hub_waits(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            assert not hub.waiting

            looks: list[Any] = []

            def look() -> None:
                looks.append((eventually(lambda: hub.waiting), hub.switches, hub.current))
                hub.call_from_thread(partial(hub.wake, me))

            before = hub.switches
            parked = time.monotonic()
            thread = Background(look)
            park_until(lambda: looks)
            thread.result()
            assert looks == [(True, before, me)]
            assert hub.switches > before
            assert parked - 0.05 <= hub.resumed <= time.monotonic()  # by a clock that ticks every few milliseconds

        run(main)
