"""The watchdog of a hub, with a hub that says what the test wants."""

from __future__ import annotations

import linecache
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep.green.watchdog import Watchdog
from tests.background import eventually

# Seconds, which are over for a greenlet that has gone on when the clock began.
ALLOWED = 0.001


class Watched:
    """A hub that is watched: `looks` counts how often that was, `told` is what was reported."""

    def __init__(self, **state: Any) -> None:
        self.allowed: float | None = ALLOWED
        self.looks = 0
        self.told: list[tuple[Any, float, str]] = []
        self.hub: Any = SimpleNamespace(
            **{"switches": 1, "resumed": 0.0, "waiting": False, "current": "greenlet", "thread": threading.get_ident()}
            | state
        )

    def look(self) -> float | None:
        self.looks += 1
        return self.allowed

    def report(self, greenlet: Any, seconds: float, stack: Any) -> None:
        self.told.append((greenlet, seconds, stack[-1].name))

    def wait_looked(self, times: int = 10) -> None:
        """Wait until it has looked so many times more."""
        until = self.looks + times
        assert eventually(lambda: self.looks >= until)


def test_tells_of_a_greenlet_once() -> None:
    watched = Watched()
    with Watchdog(watched.hub, watched.look, watched.report):
        assert eventually(lambda: watched.told)
        watched.wait_looked()
    ((greenlet, seconds, _),) = watched.told
    assert greenlet == "greenlet"
    assert seconds > ALLOWED


def test_tells_of_the_next_that_does_so() -> None:
    watched = Watched()
    with Watchdog(watched.hub, watched.look, watched.report):
        assert eventually(lambda: len(watched.told) == 1)
        watched.hub.switches += 1
        assert eventually(lambda: len(watched.told) == 2)


@pytest.mark.parametrize("state", [{"waiting": True}, {"resumed": 1e12}])
def test_tells_nothing_while_all_wait_or_go_on(state: dict[str, Any]) -> None:
    watched = Watched(**state)
    with Watchdog(watched.hub, watched.look, watched.report):
        watched.wait_looked(2)
    assert watched.told == []


def test_tells_nothing_without_a_limit_until_there_is_one() -> None:
    watched = Watched()
    watched.allowed = None
    with Watchdog(watched.hub, watched.look, watched.report):
        watched.wait_looked(2)
        assert watched.told == []
        watched.allowed = ALLOWED
        assert eventually(lambda: watched.told)


def test_tells_nothing_of_a_greenlet_that_has_just_given_way() -> None:
    """The stack would be another's."""

    class Hub(SimpleNamespace):
        """Goes on whenever it is looked at."""

        @property
        def switches(self) -> int:
            self.count += 1
            return int(self.count)

    watched = Watched()
    watched.hub = Hub(count=0, resumed=0.0, waiting=False, current="greenlet", thread=threading.get_ident())
    with Watchdog(watched.hub, watched.look, watched.report):
        watched.wait_looked()
    assert watched.told == []


@pytest.mark.parametrize(
    ("state", "allowed", "pause"),
    [
        ({"resumed": 99.75}, 0.375, 0.125),
        ({"resumed": 99.75}, 0.25, 0.001),
        ({"resumed": 99.75}, 0.125, 0.125),  # after telling of it
        ({"resumed": 99.75, "waiting": True}, 0.375, 0.375),
        ({"resumed": 99.75}, 60, 0.5),  # which may be changed
        ({"resumed": 99.75}, None, 0.5),
    ],
)
def test_looks_again_when_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], allowed: float | None, pause: float
) -> None:
    """Looking more often would cost the hub the interpreter's lock each time."""
    watched = Watched(**state)
    watched.allowed = allowed
    pauses: list[float] = []

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            pauses.append(timeout)
            return len(pauses) == 2

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Event", Ended)
        watchdog = Watchdog(watched.hub, watched.look, watched.report)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    watchdog._watch()
    assert pauses == [0, pause]


def test_looks_for_lines_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes a while, in which a greenlet near its end goes on."""
    watched = Watched()

    def go_on(filename: str | None = None) -> None:
        watched.hub.switches += 1

    monkeypatch.setattr(linecache, "checkcache", go_on)
    with Watchdog(watched.hub, watched.look, watched.report):
        assert eventually(lambda: watched.told)
