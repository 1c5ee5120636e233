"""Counting what servers do."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from doorkeep import Statistics
from doorkeep.statistics import Counters


def test_begins_at_nothing() -> None:
    assert Counters().snapshot(active=0) == Statistics()


def test_each_count_has_its_place() -> None:
    counters = Counters()
    counters.accepted = 9
    for name, label in [
        ("refused", "rate"),
        ("refused", "rate"),
        ("refused", "denied"),
        ("accept", "aborted"),
        ("expired", "idle_timeout"),
        ("failed", ""),
        ("truncated", ""),
    ]:
        counters.add(name, label)
    assert counters.snapshot(active=2) == Statistics(
        accepted=9,
        active=2,
        failed=1,
        truncated=1,
        refused={"rate": 2, "denied": 1},
        accept_errors={"aborted": 1},
        expired={"idle_timeout": 1},
    )


def test_refusals_are_counted_together() -> None:
    assert Statistics(refused={"rate": 2, "denied": 1}).refusals == 3


def test_a_snapshot_stays_as_it_is() -> None:
    counters = Counters()
    counters.add("refused", "rate")
    before = counters.snapshot(active=0)
    counters.add("refused", "rate")
    assert before.refused == {"rate": 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.accepted = 5  # type: ignore[misc]  # what the test is about


def test_no_count_is_lost_between_threads() -> None:
    def count() -> None:
        for _ in range(2000):
            counters.add("failed")

    counters = Counters()
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot(active=0).failed == 8000
