"""Tests of the arithmetic from samples to a report."""

from __future__ import annotations

import pytest

from bench.catalogue import Goal
from bench.roster import LIMIT, Contender
from bench.summary import Spread, measured, ratios, reached, summarize
from tests.bench.samples import sample


def test_a_ratio_is_taken_inside_a_round() -> None:
    """A machine that becomes ten times slower after a round changes no ratio."""
    samples = [
        sample("mine", 0, 500), sample("theirs", 0, 1000),
        sample("mine", 1, 50), sample("theirs", 1, 100),
        sample("mine", 2, 60), sample("theirs", 2, 100),
    ]  # fmt: skip
    spread = ratios(samples, "mine", "theirs")
    assert spread is not None
    assert (spread.least, spread.median, spread.most) == (0.5, 0.5, 0.6)


def test_a_round_that_one_of_the_two_missed_does_not_count() -> None:
    samples = [sample("mine", 0, 500), sample("mine", 1, 300), sample("theirs", 1, 100)]
    assert ratios(samples, "mine", "theirs") == Spread(3, 3, 3, 3, 3)


def test_without_a_common_round_there_is_no_ratio() -> None:
    assert ratios([sample("mine", 0, 1), sample("theirs", 1, 1)], "mine", "theirs") is None
    assert ratios([sample("mine", 0, 1)], "mine", "theirs") is None


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ([7.0], Spread(7, 7, 7, 7, 7)),
        ([1.0, 3.0], Spread(1, 1.5, 2, 2.5, 3)),
        ([5.0, 1.0, 4.0, 2.0, 3.0], Spread(1, 2, 3, 4, 5)),
    ],
)
def test_spread(values: list[float], spread: Spread) -> None:
    assert Spread.of(values) == spread


def test_a_summary_compares_with_the_limit() -> None:
    contenders = (Contender(LIMIT, "", (), "limit"), Contender("mine", "", ()), Contender("absent", "", ()))
    samples = [
        sample(LIMIT, 0, 1000, load_cpu=0.96),
        sample("mine", 0, 800, lost=1, latency=20, slowest=0.8, load_cpu=0.95),
        sample("mine", 1, 400, lost=2, slowest=0.6),
    ]
    limit, mine = summarize(contenders, samples)
    assert limit.to_limit is None
    assert limit.load_was_limit
    assert mine.to_limit == Spread.of([0.8])
    assert (mine.rate, mine.cpu_microseconds, mine.lost) == (600, 60, 3)
    assert (mine.latency_p50, mine.latency_p99, mine.kibibytes_each) == (20, None, None)
    assert mine.slowest == pytest.approx(0.7)
    assert not mine.load_was_limit


@pytest.mark.parametrize(
    ("goal", "median", "kept"),
    [
        (Goal("mine", 0.5, "theirs"), 0.5, True),
        (Goal("mine", 0.51, "theirs"), 0.5, False),
        (Goal("mine", 0.5, "theirs", at_most=True), 0.5, True),
        (Goal("mine", 0.5, value="slowest"), 0.75, True),
        (Goal("mine", 0.7, value="slowest", at_most=True), 0.75, False),
    ],
)
def test_a_goal_is_reached_by_the_median(goal: Goal, median: float, kept: bool) -> None:
    samples = [sample("mine", 0, 500, slowest=0.5), sample("mine", 1, 100, slowest=1), sample("theirs", 0, 1000)]
    spread = measured(goal, samples)
    assert spread is not None
    assert spread.median == median
    assert reached(goal, spread) is kept


@pytest.mark.parametrize("goal", [Goal("mine", 1, "theirs"), Goal("theirs", 1), Goal("mine", 1, value="slowest")])
def test_a_goal_of_what_has_not_run_is_not_measured(goal: Goal) -> None:
    assert measured(goal, [sample("mine", 0, 500)]) is None
