"""The command line of the benchmarks."""

import argparse
import resource
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from bench import stopping
from bench.catalogue import WORKS, Case
from bench.machine import Machine
from bench.overview import write_overview
from bench.programs import ROOT, NotCompiled, compile_programs
from bench.report import Report
from bench.rounds import measure

EXIT_NOTHING_MEASURED = 1
EXIT_CANNOT_MEASURE = 2
T = TypeVar("T")
STOPPING = "stopping"  # measured by a program of its own, as no load shows it


def main(arguments: Sequence[str]) -> int:
    """Measure, print the tables, write the reports; the exit status."""
    options = parser().parse_args(arguments)
    selected = chosen_cases(options)
    stops = STOPPING in options.work and not (options.contenders or options.connections or options.size)
    if not selected and not stops:
        tell("No contender of these works has such a name.")
        return EXIT_CANNOT_MEASURE
    try:
        compile_programs()
    except NotCompiled as reason:
        tell(str(reason))
        return EXIT_CANNOT_MEASURE
    raise_descriptor_limit()
    command = shlex.join(["python", "-m", "bench", *arguments])
    statuses = [run(case, options, command) for case in selected]
    write_overview(options.output)
    if stops:
        statuses.append(stopping.main([f"--output={options.output}"]))
    return max(statuses)


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    """Return the cases that the options name, each with those of its contenders that they name."""
    cases = [
        only(case, options.contenders)
        for work in WORKS
        if work.name in options.work
        for case in work.cases(options.connections, options.size)
    ]
    return [case for case in cases if case.contenders]


def only(case: Case, patterns: Sequence[str]) -> Case:
    """The case with those of its contenders whose name fits one of the patterns, or with all if there are none."""
    kept = [one for one in case.contenders if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
    return replace(case, contenders=tuple(kept)) if patterns else case


def run(case: Case, options: argparse.Namespace, command: str) -> int:
    machine = Machine.here()
    measurement = measure(case, options.rounds, options.seconds, tell)
    if not measurement.samples:
        tell(f"{case.name}: nothing was measured.")
        return EXIT_NOTHING_MEASURED
    report = Report(case, measurement, options.rounds, options.seconds, machine, command)
    report.write(options.output)
    shown = [f"{case.name}: {case.description}", report.table(), report.limited(), report.ratios(), report.goals()]
    print("\n" + "\n\n".join(filter(None, shown)) + "\n", flush=True)
    return 0


def raise_descriptor_limit() -> None:
    """Servers and the load generator inherit it, and need a descriptor a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def tell(sentence: str) -> None:
    """Progress and complaints go to stderr, so that stdout holds the tables."""
    print(sentence, file=sys.stderr, flush=True)


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"has to be more than 0, not {text}")
    return value


def positive_whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"has to be at least 1, not {text}")
    return value


def work_name(text: str) -> str:
    names = [*(work.name for work in WORKS), STOPPING]
    if text not in names:
        raise argparse.ArgumentTypeError(f"has to be of {', '.join(names)}, not {text}")
    return text


def several(one: Callable[[str], T]) -> Callable[[str], list[T]]:
    """What reads several values with commas between them."""
    return lambda text: [one(part) for part in text.split(",")]


def parser() -> argparse.ArgumentParser:
    names = [*(work.name for work in WORKS), STOPPING]
    contenders = dict.fromkeys(one.name for work in WORKS for one in work.contenders)
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure doorkeep next to its peers. Several values of an option have commas between them.",
        epilog=f"Works: {', '.join(names)}. Contenders: {', '.join(contenders)}.",
    )
    made.add_argument("--work", type=several(work_name), default=names, help="default: all")
    made.add_argument("--connections", type=several(positive_whole), default=[], help="instead of the work's own")
    made.add_argument("--size", type=several(positive_whole), default=[], help="bytes, instead of the work's own")
    made.add_argument("--contenders", type=several(str), default=[], help="'uvloop-*' fits several; default: all")
    made.add_argument("--rounds", type=positive_whole, default=5)
    made.add_argument("--seconds", type=positive, default=1.5, help="measured time of a contender in a round")
    made.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the reports")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
