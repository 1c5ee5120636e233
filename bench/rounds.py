"""Measuring: every contender in turn, round after round, each time on a fresh server process."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from bench.catalogue import Case
from bench.load import LoadFailed, Result
from bench.machine import other_processors
from bench.process import NotServing, serving
from bench.roster import Contender

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One contender in one round."""

    contender: str
    round: int
    result: Result
    cpu_microseconds: float  # a message
    peak_memory: int  # bytes


@dataclass(frozen=True)
class Measurement:
    """What came of all rounds: samples, and sentences about the contenders and samples that are missing."""

    samples: list[Sample] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def measure(case: Case, rounds: int, seconds: float, tell: Tell) -> Measurement:
    """All rounds. A contender that does not start is left out from then on; `tell` hears what happens."""
    measurement = Measurement()

    def miss(sentence: str) -> None:
        measurement.missing.append(sentence)
        tell(sentence)

    contenders = available(case, miss)
    for number in range(rounds):
        for contender in rotated(contenders, number):
            told = f"{case.name}, round {number + 1}: {contender.name}"
            try:
                sample = measure_once(case, contender, number, seconds)
            except (NotServing, LoadFailed) as failure:
                miss(f"{told} failed: {failure}")
                if isinstance(failure, NotServing):
                    contenders.remove(contender)
            else:
                measurement.samples.append(sample)
                tell(f"{told} {sample.result.rate:,.0f} {case.unit}/s")
    return measurement


def available(case: Case, miss: Tell) -> list[Contender]:
    """Those whose modules are installed, and that can hold the connections; `miss` hears of the others."""
    kept = []
    for contender in case.contenders:
        absent = [f"module {module}" for module in contender.requires if not installed(module)]
        absent += [f"program {program}" for program in contender.programs if shutil.which(program) is None]
        if absent:
            miss(f"{contender.name} is left out: the {absent[0]} is not installed.")
        elif contender.most_connections is not None and case.connections > contender.most_connections:
            miss(f"{contender.name} is left out: it is not asked to hold more than {contender.most_connections:,}.")
        else:
            kept.append(contender)
    return kept


def installed(module: str) -> bool:
    """Whether there is such a module. Imports the packages around it, but not it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def rotated(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Each round begins with another contender, so that none is always the first."""
    start = number % len(contenders) if contenders else 0
    return [*contenders[start:], *contenders[:start]]


def measure_once(case: Case, contender: Contender, number: int, seconds: float) -> Sample:
    """CPU time is that from the first message to the last, without the start of the server."""
    with serving(list(contender.command), other_processors() if contender.one_thread else None) as server:
        cpu_before = server.cpu_seconds()
        try:
            result = case.load(server, seconds)
        except LoadFailed as failure:
            raise LoadFailed(f"{failure} Of the server: {server.complaint()}.") from failure
        cpu = server.cpu_seconds() - cpu_before
        return Sample(
            contender=contender.name,
            round=number,
            result=result,
            cpu_microseconds=cpu / max(result.total, 1) * 1e6,
            peak_memory=server.peak_memory(),
        )
