"""Many connections at once, opened, used and closed again and again, and what a green server holds afterwards.

    python -m bench.cycles [--connections 10000] [--cycles 10] [--output docs/benchmarks]

Each connection sends a line and reads it back. The first row is before the first cycle, each other one after it. What
stays from the first cycle on is kept by CPython and the C library for the next: arenas that a few objects share with
free lists (`gc.collect()` gives half of them back), and the heap.
"""

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.__main__ import raise_descriptor_limit
from bench.endurance import at_rest
from bench.process import Holdings, Server, serving
from bench.programs import ROOT
from bench.report import write_page
from bench.tables import MEBIBYTE, markdown_table

COMMAND = [sys.executable, "-m", "bench.contenders.counted"]
PATIENCE = 10.0


def ask(client: socket.socket, line: bytes) -> bytes:
    """Send a line and return the line that comes back."""
    client.sendall(line)
    answer = b""
    while not answer.endswith(b"\n"):
        part = client.recv(1024)
        if not part:
            raise ConnectionError("the server has ended the connection")
        answer += part
    return answer


def connected(server: Server) -> socket.socket:
    """Return a connection to the server."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def cycle(server: Server, connections: int) -> None:
    """Open so many connections, use all, and close all."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(connections)]
        for client in clients:
            if ask(client, b"hello\n") != b"hello\n":
                raise ConnectionError("the server has answered with something else")


def held(server: Server) -> tuple[Holdings, int]:
    """Return what the server holds at rest, and how many greenlets there are when it is asked."""
    holdings = at_rest(server)
    with connected(server) as client:
        return holdings, int(ask(client, b"count\n"))


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.cycles", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    rows = []
    with serving(COMMAND) as server:
        cycle(server, 100)  # what is made once and kept
        for number in range(options.cycles + 1):
            began = time.monotonic()
            if number:
                cycle(server, options.connections)
            seconds = time.monotonic() - began
            holdings, greenlets = held(server)
            rows.append(
                [
                    str(number),
                    f"{seconds:.1f}" if number else "–",
                    f"{holdings.memory / MEBIBYTE:.1f}",
                    str(holdings.descriptors),
                    str(holdings.threads),
                    str(greenlets),
                ]
            )
            print(f"cycle {number}: {holdings}, {greenlets} greenlets", file=sys.stderr, flush=True)
        peak = server.peak_memory() / MEBIBYTE
    head = ["cycle", "seconds", "MiB", "descriptors", "threads", "greenlets"]
    note = f"{options.connections:,} connections a cycle; with all of them open the server had {peak:.0f} MiB."
    write_page(options.output, "cycles", __doc__, f"{markdown_table(head, rows)}\n\n{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
