"""From samples to the numbers of a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.catalogue import Goal
from bench.roster import Contender
from bench.rounds import Sample

LOAD_AT_ITS_LIMIT = 0.95


@dataclass(frozen=True)
class Spread:
    """The five numbers that tell how far values lie apart."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        pair = values if len(values) > 1 else [*values, *values]  # what `quantiles` needs at least
        lower, middle, upper = quantiles(pair, n=4, method="inclusive")
        return cls(min(values), lower, middle, upper, max(values))


@dataclass(frozen=True)
class Summary:
    """A contender over all rounds: medians, and sums of errors and losses. None is what nobody knows."""

    contender: Contender
    rate: float
    to_limit: Spread | None
    cpu_microseconds: float
    peak_memory: float
    latency_p50: float | None
    latency_p99: float | None
    slowest: float | None
    kibibytes_each: float | None
    load_cpu: float | None
    errors: int
    lost: int

    @property
    def load_was_limit(self) -> bool:
        return self.load_cpu is not None and self.load_cpu > LOAD_AT_ITS_LIMIT


def values(samples: Iterable[Sample], contender: str, value: str = "rate") -> dict[int, float]:
    """The contender's results by the number of the round, without the rounds that do not have one."""
    own = {sample.round: getattr(sample.result, value) for sample in samples if sample.contender == contender}
    return {number: found for number, found in own.items() if found is not None}


def ratios(samples: Sequence[Sample], contender: str, reference: str, value: str = "rate") -> Spread | None:
    """The contender's result as a share of the reference's in the same round, over the rounds that have both.

    The machine's speed changes over minutes. Inside a round the two run one after the other, so that a ratio
    a round says more than a ratio of two medians.
    """
    mine, theirs = values(samples, contender, value), values(samples, reference, value)
    both = mine.keys() & theirs.keys()
    return Spread.of([mine[number] / theirs[number] for number in both]) if both else None


def measured(goal: Goal, samples: Sequence[Sample]) -> Spread | None:
    """What came of a goal; None if its contenders have not run."""
    if goal.reference is not None:
        return ratios(samples, goal.contender, goal.reference, goal.value)
    found = values(samples, goal.contender, goal.value)
    return Spread.of(list(found.values())) if found else None


def reached(goal: Goal, spread: Spread) -> bool:
    """Whether the median of the rounds keeps the goal's bound."""
    return spread.median <= goal.bound if goal.at_most else spread.median >= goal.bound


def limit_of(contenders: Iterable[Contender]) -> str | None:
    """The name of the contender that the others are held against."""
    return next((contender.name for contender in contenders if contender.family == "limit"), None)


def summarize(contenders: Iterable[Contender], samples: Sequence[Sample]) -> list[Summary]:
    """One summary a contender that has samples, in the order of the contenders."""
    summaries = []
    contenders = list(contenders)
    limit = limit_of(contenders)
    for contender in contenders:
        own = [sample for sample in samples if sample.contender == contender.name]
        if not own:
            continue
        results = [sample.result for sample in own]
        summaries.append(
            Summary(
                contender=contender,
                rate=median(result.rate for result in results),
                to_limit=ratios(samples, contender.name, limit) if limit and contender.name != limit else None,
                cpu_microseconds=median(sample.cpu_microseconds for sample in own),
                peak_memory=median(sample.peak_memory for sample in own),
                latency_p50=_median_of_known(result.latency_p50 for result in results),
                latency_p99=_median_of_known(result.latency_p99 for result in results),
                slowest=_median_of_known(result.slowest for result in results),
                kibibytes_each=_median_of_known(result.kibibytes_each for result in results),
                load_cpu=_median_of_known(result.load_cpu for result in results),
                errors=sum(result.errors for result in results),
                lost=sum(result.lost for result in results),
            )
        )
    return summaries


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
