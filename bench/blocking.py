"""A handler that computes, and one that leaves it to a thread: for how long the other clients of a green server wait.

    python -m bench.blocking [--rounds 10] [--output docs/benchmarks]

One client has a handler compute for some 0.3 seconds, while another sends a line every millisecond and waits for its
echo. Told is the longest of these waits in a round: the median of the rounds, and the longest of all.
"""

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.cycles import COMMAND, ask, connected
from bench.process import Server, serving
from bench.programs import ROOT
from bench.report import write_page
from bench.tables import markdown_table

WAYS = {b"hello\n": "does not compute", b"offload\n": "calls `offload`", b"compute\n": "computes itself"}


def longest_wait(server: Server, line: bytes) -> tuple[float, float]:
    """Have one handler answer a line; return how long that took, and the longest wait of another client meanwhile."""
    with connected(server) as busy, connected(server) as other:
        ask(other, b"hello\n")
        took: list[float] = []

        def keep_busy() -> None:
            began = time.monotonic()
            ask(busy, line)
            took.append(time.monotonic() - began)

        thread = threading.Thread(target=keep_busy)
        thread.start()
        waits = []
        until = time.monotonic() + 0.5
        while thread.is_alive() or time.monotonic() < until:
            began = time.monotonic()
            ask(other, b"hello\n")
            waits.append(time.monotonic() - began)
            time.sleep(0.001)
        return took[0], max(waits)


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.blocking", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    rows = []
    with serving(COMMAND) as server:
        for line, what in WAYS.items():
            outcomes = [longest_wait(server, line) for _ in range(options.rounds)]
            took, waits = ([1000 * seconds for seconds in column] for column in zip(*outcomes, strict=True))
            rows.append(
                [what, f"{statistics.median(took):.0f}", f"{statistics.median(waits):.1f}", f"{max(waits):.1f}"]
            )
        with connected(server) as client:
            blocked, _, place = ask(client, b"place\n").decode().strip().partition(" ")
    head = ["the handler", "takes ms", "others wait ms at the most, median", "longest"]
    note = (
        f"The server told of {blocked} handlers that held it up, in {options.rounds} rounds; of the last at `{place}`."
    )
    write_page(
        options.output, "blocking", __doc__, f"{markdown_table(head, rows)}\n\n{note.replace(str(ROOT) + '/', '')}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
