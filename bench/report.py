"""The report on a case: Markdown to read, a chart to look at, and the raw data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from bench.catalogue import Case, Goal
from bench.chart import Bar, bar_chart
from bench.machine import Machine
from bench.rounds import Measurement, Sample
from bench.summary import Summary, limit_of, measured, ratios, reached, summarize
from bench.tables import MEBIBYTE, if_known, markdown_table, ratio, span, without_empty_columns

COLOURS = {"limit": "#8c959f", "standard": "#bf8700", "doorkeep": "#0969da", "peer": "#8250df"}

LEGEND = """\
Medians of the rounds, with the quartiles in brackets where they are given. *Of {limit}* is the ratio of the rate to
that server's. *Slowest* is what the connection with the fewest messages had of the mean. Errors and losses are the sums
of all rounds."""

LIMITED = """\
The load generator, and not the server, was the limit for {names}: it had a CPU for more than 95 % of the time. What the
server could do is more than the rate shows; compare *CPU µs each*."""

METHOD = """\
{rounds} rounds. In each of them every contender in turn, in an order that moves on by one a round, served
{seconds:g} s after a warm-up, in a fresh process. A ratio is taken inside a round.

CPU time is the server's, user and system, with all threads and children, over all messages, that of opening
connections included. Memory is the highest resident set. The load generator runs on the same machine, over the loopback
interface, and keeps to one CPU. Servers of one thread keep to the others, as the kernel now and then has the two share
one; servers of several threads or processes run where the kernel will. All have the same backlog, and `TCP_NODELAY` as
each sets it by default."""


@dataclass(frozen=True)
class Report:
    case: Case
    measurement: Measurement
    rounds: int
    seconds: float
    machine: Machine
    command: str

    @cached_property
    def summaries(self) -> list[Summary]:
        return summarize(self.case.contenders, self.measurement.samples)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, text in (("md", self.markdown()), ("svg", self.chart()), ("json", self.raw())):
            (folder / f"{self.case.name}.{suffix}").write_text(text, encoding="utf-8")

    def markdown(self) -> str:
        goals, ratios = self.goals(), self.ratios()
        parts = [
            f"# {self.case.name}",
            self.case.description,
            f"![{self.case.unit} a second]({self.case.name}.svg)",
            self.table(),
            LEGEND.format(limit=limit_of(self.case.contenders)),
            self.limited(),
            *(["## Ratios", "The rate of the contender above to that of the one beside.", ratios] if ratios else []),
            *(["## Goals", goals] if goals else []),
            "## How it was measured",
            METHOD.format(rounds=self.rounds, seconds=self.seconds),
            "\n".join(f"* {one.contender.name}: {one.contender.description}" for one in self.summaries),
            "\n".join(f"* {sentence}" for sentence in self.measurement.missing),
            f"Machine: {self.machine}.",
            f"Command: `{self.command}`",
        ]
        return "\n\n".join(filter(None, parts)) + "\n"

    def table(self) -> str:
        limit = limit_of(self.case.contenders)
        head = ["contender", f"{self.case.unit}/s", f"of {limit}", "CPU µs each", "peak MiB", "KiB each"]
        head += ["p50 µs", "p99 µs", "slowest", "load CPU", "errors", "lost"]
        return markdown_table(*without_empty_columns(head, [_row(summary) for summary in self.summaries]))

    def ratios(self) -> str:
        """Each of doorkeep's contenders to each of the others; empty where there is nothing to compare."""
        samples = self.measurement.samples
        own = [one.contender.name for one in self.summaries if one.contender.family == "doorkeep"]
        others = [one.contender.name for one in self.summaries if one.contender.family != "doorkeep"]
        if not own or not others:
            return ""
        rows = [[other, *(span(ratios(samples, name, other)) for name in own)] for other in others]
        return markdown_table(["", *own], rows)

    def goals(self) -> str:
        """What doorkeep wants to reach, and whether it has; empty where there are no goals or no measurements."""
        rows = goal_rows(self.case.goals, self.measurement.samples)
        return markdown_table(GOALS_HEAD, rows) if rows else ""

    def limited(self) -> str:
        names = ", ".join(summary.contender.name for summary in self.summaries if summary.load_was_limit)
        return LIMITED.format(names=names) if names else ""

    def chart(self) -> str:
        bars = [
            Bar(summary.contender.name, summary.rate, COLOURS[summary.contender.family]) for summary in self.summaries
        ]
        return bar_chart(f"{self.case.name}: {self.case.unit} a second", bars)

    def raw(self) -> str:
        """The data as JSON, with a line for each sample."""
        about = {
            "case": self.case.name,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "command": self.command,
            "machine": asdict(self.machine),
            "missing": self.measurement.missing,
        }
        samples = ",\n".join(json.dumps(asdict(sample)) for sample in self.measurement.samples)
        return f'{json.dumps(about, indent=1)[:-2]},\n "samples": [\n{samples}\n ]\n}}\n'


GOALS_HEAD = ["goal", "wanted", "measured", "reached"]


def goal_rows(goals: Sequence[Goal], samples: Sequence[Sample]) -> list[list[str]]:
    """A row for each goal that has been measured: what it is of, its bound, the spread, and whether it is kept."""
    rows = []
    for goal in goals:
        spread = measured(goal, samples)
        if spread is None:
            continue
        subject = {
            "rate": goal.contender,
            "slowest": f"{goal.contender}, slowest connection / mean",
            "kibibytes_each": f"{goal.contender}, KiB each",
        }[goal.value]
        title = f"{subject} / {goal.reference}" if goal.reference else subject
        bound = f"{'≤' if goal.at_most else '≥'} {ratio(goal.bound)}"
        rows.append([title, bound, span(spread), "yes" if reached(goal, spread) else "no"])
    return rows


def write_page(folder: Path, name: str, docstring: str, measured: str, note: str = "") -> None:
    """Print what a run of its own has measured, and write it to a page under what its docstring says of it."""
    print(measured)
    folder.mkdir(parents=True, exist_ok=True)
    _, _, explanation = docstring.split("\n\n", 2)  # after the summary and the command
    closing = f"{note} Machine: {Machine.here()}.".strip()
    page = "\n\n".join([f"# {name}", explanation.strip(), measured, closing])
    (folder / f"{name}.md").write_text(page + "\n", encoding="utf-8")


def _row(summary: Summary) -> list[str]:
    return [
        summary.contender.name,
        f"{summary.rate:,.0f}",
        span(summary.to_limit),
        f"{summary.cpu_microseconds:,.1f}",
        f"{summary.peak_memory / MEBIBYTE:,.1f}",
        if_known(summary.kibibytes_each, ",.2f"),
        if_known(summary.latency_p50, ",.0f"),
        if_known(summary.latency_p99, ",.0f"),
        if_known(summary.slowest, ".2f"),
        if_known(summary.load_cpu, ".0%"),
        f"{summary.errors:,}",
        f"{summary.lost:,}",
    ]
