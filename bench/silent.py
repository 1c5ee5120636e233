"""Clients that connect and say nothing, beside some that work.

    python -m bench.silent [--silent 1000] [--rounds 5] [--seconds 2] [--output docs/benchmarks]

In each round a fresh server first serves 50 connections with one message of 64 bytes in flight alone, and then again
beside 1,000 connections that say nothing. doorkeep's server has an `idle_timeout` that is longer than this second part.
At last it is seen for how long each of the silent ones was connected until the server ended it. The standard library's
server has no such deadline: there they stay.
"""

import argparse
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.__main__ import raise_descriptor_limit
from bench.contenders import BACKLOG
from bench.load import WARM_UP, Generated, Result
from bench.process import serving
from bench.programs import ROOT, NotCompiled, compile_programs
from bench.report import write_page
from bench.tables import ABSENT, markdown_table, ratio

CONTENDERS = {"standard": "socketserver", "doorkeep": "doorkeep"}  # and their packages
SERVER = "ThreadingTCPServer"
WORKING = 50
# Seconds of the deadline beyond what is measured, and of patience beyond the deadline.
MARGIN = 2.0
PATIENCE = 10.0


@dataclass(frozen=True)
class Outcome:
    """One server in one round. `lives` are the seconds for which the silent clients lived that the server has ended."""

    family: str
    deadline: float
    alone: Result
    beside: Result
    lives: list[float]


def measure(family: str, silent: int, seconds: float) -> Outcome:
    """Serve the working clients alone, and then beside so many silent ones."""
    deadline = WARM_UP + seconds + MARGIN
    command = [sys.executable, "-m", "bench.contenders.classes", "echo", f"--server={CONTENDERS[family]}:{SERVER}"]
    command += [f"--set=request_queue_size={BACKLOG}", f"--set=idle_timeout={deadline}"]
    load = Generated("echo", connections=WORKING)
    with serving(command) as server, ExitStack() as stack:
        alone = load(server, seconds)
        clients: dict[socket.socket, float] = {}
        for _ in range(silent):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE))
            clients[client] = time.monotonic()
        beside = load(server, seconds)
        patience = PATIENCE if family == "doorkeep" else 0.0
        return Outcome(family, deadline, alone, beside, lives_of(clients, deadline + patience))


def lives_of(clients: dict[socket.socket, float], longest: float) -> list[float]:
    """Return for how many seconds each client lived since it connected, of those that the server has ended.

    `clients` maps each to the moment at which it connected. Waits until `longest` seconds after the last of these.
    """
    lives = []
    until = max(clients.values(), default=0) + longest
    with selectors.DefaultSelector() as selector:
        for client, connected in clients.items():
            selector.register(client, selectors.EVENT_READ, connected)
        while selector.get_map() and (remaining := until - time.monotonic()) > 0:
            for key, _ in selector.select(remaining):
                selector.unregister(key.fileobj)
                lives.append(time.monotonic() - key.data)
    return lives


def table(outcomes: Sequence[Outcome], silent: int) -> str:
    """Return the medians of the rounds, and the extremes of the silent clients' lives, as a table."""
    rows = []
    for family in CONTENDERS:
        own = [outcome for outcome in outcomes if outcome.family == family]
        if not own:
            continue
        lives = [life - outcome.deadline for outcome in own for life in outcome.lives]
        rows.append(
            [
                f"{family}.{SERVER}",
                f"{median(outcome.alone.rate for outcome in own):,.0f}",
                f"{median(outcome.beside.rate for outcome in own):,.0f}",
                ratio(median(outcome.beside.rate / outcome.alone.rate for outcome in own)),
                f"{median(outcome.alone.latency_p99 or 0 for outcome in own):,.0f}",
                f"{median(outcome.beside.latency_p99 or 0 for outcome in own):,.0f}",
                f"{sum(outcome.alone.errors + outcome.beside.errors for outcome in own):,}",
                f"{len(lives):,} of {silent * len(own):,}",
                f"{min(lives):+.3f}" if lives else ABSENT,
                f"{max(lives):+.3f}" if lives else ABSENT,
            ]
        )
    head = ["server", "messages/s alone", "beside the silent", "ratio", "p99 µs alone", "beside", "errors"]
    return markdown_table([*head, "silent ended", "first, s after its deadline", "last"], rows)


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.silent", description=__doc__.partition("\n")[0])
    parser.add_argument("--silent", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of each part of a round")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    try:
        compile_programs()
    except NotCompiled as reason:
        print(reason, file=sys.stderr)
        return 2
    raise_descriptor_limit()
    outcomes = []
    for number in range(options.rounds):
        for family in CONTENDERS:
            outcomes.append(measure(family, options.silent, options.seconds))
            print(f"round {number + 1}: {family}", file=sys.stderr, flush=True)
    write_page(options.output, "silent", __doc__, table(outcomes, options.silent), f"{options.rounds} rounds.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
