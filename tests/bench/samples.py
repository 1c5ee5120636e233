"""Measurements made up for tests."""

from __future__ import annotations

from bench.catalogue import Case, Goal
from bench.load import Result
from bench.process import Server
from bench.roster import Contender
from bench.rounds import Sample


def sample(
    contender: str,
    number: int,
    rate: float,
    *,
    lost: int = 0,
    latency: float | None = None,
    slowest: float | None = None,
    load_cpu: float | None = None,
) -> Sample:
    """Return a sample of that rate."""
    result = Result(rate, total=1000, lost=lost, latency_p50=latency, slowest=slowest, load_cpu=load_cpu)
    return Sample(contender, number, result, cpu_microseconds=rate / 10, peak_memory=2 << 20)


#: Seconds to measure for when no message came back in a tenth of one: a busy machine may stand still for a moment.
LONGER = (1.0, 10.0)


def no_load(server: Server, seconds: float) -> Result:
    """Return a result at once."""
    return Result(rate=server.port / seconds, total=10)


def case(*contenders: Contender, goals: tuple[Goal, ...] = ()) -> Case:
    """Return a case of these contenders."""
    return Case("nothing", "Nothing is done.", no_load, contenders, "nothings", 2000, goals)
