"""Many connections through each server class, and what the server holds afterwards.

    python -m bench.endurance [--connections 100000] [--server NAME ...] [--output docs/benchmarks]

After a warm-up of a twentieth of them the server's memory, threads, children and descriptors are counted, and again
when all are through: what it does not give back shows as growth.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.process import Holdings, Server, serving
from bench.programs import LOAD, ROOT, NotCompiled, compile_programs
from bench.report import write_page
from bench.tables import MEBIBYTE, markdown_table

# And the modules that have their classes.
MIX_INS = {
    "": "doorkeep",
    "Threading": "doorkeep",
    "ThreadPool": "doorkeep",
    "Forking": "doorkeep",
    "Green": "doorkeep.concurrency.greenlets",
    "Async": "doorkeep.concurrency.tasks",
}
KINDS = ("TCP", "UDP", "UnixStream", "UnixDatagram")
SERVERS = {f"{mix_in}{kind}Server": MIX_INS[mix_in] for mix_in, kind in product(MIX_INS, KINDS)}
REST_SECONDS = 10.0
PEERS = 50


@dataclass(frozen=True)
class Outcome:
    """A server class after `connections` of them, or datagrams; `errors` were not answered."""

    server: str
    connections: int
    errors: int
    before: Holdings
    after: Holdings


def endure(server_class: str, connections: int, chunk_seconds: float = 2.0) -> Outcome:
    """Lead at least `connections` through a fresh server of a class, in chunks of so many seconds."""
    datagrams = "UDP" in server_class or "Datagram" in server_class
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "server") if "Unix" in server_class else None
        handler = f"{'async-' if server_class.startswith('Async') else ''}{'datagram' if datagrams else 'line'}"
        command = [sys.executable, "-m", "bench.contenders.classes", handler]
        command += [f"--server={SERVERS[server_class]}:{server_class}", *([f"--unix={path}"] if path else [])]
        with serving(command) as server:
            send(server, path, datagrams, connections // 20, chunk_seconds)
            before = at_rest(server)
            done, errors = send(server, path, datagrams, connections, chunk_seconds)
            return Outcome(server_class, done, errors, before, at_rest(server))


def send(server: Server, path: str | None, datagrams: bool, wanted: int, chunk_seconds: float) -> tuple[int, int]:
    """Send at least `wanted` connections or datagrams; return how many it was, and how many errors."""
    if path is not None and datagrams:
        return send_unix_datagrams(path, wanted)
    target = [f"--unix={path}"] if path is not None else [f"--port={server.port}"]
    done = errors = 0
    while done < wanted:
        command = [LOAD, "udp" if datagrams else "connect", *target, f"--connections={PEERS}"]
        command += [f"--seconds={chunk_seconds}", "--warmup=0"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            sys.exit(run.stderr.strip())  # its own sentence
        result = json.loads(run.stdout)
        done += result["total"]
        errors += result["errors"]
    return done, errors


def send_unix_datagrams(path: str, wanted: int) -> tuple[int, int]:
    """Send datagrams one after the other, each after the answer to the one before."""
    errors = 0
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.bind(str(Path(folder) / "client"))
        client.connect(path)
        client.settimeout(5)
        for _ in range(wanted):
            client.send(b"x" * 64)
            errors += client.recv(65536) != b"x" * 64
    return wanted, errors


def at_rest(server: Server) -> Holdings:
    """Return what the server holds once it holds no less from one look to the next, or after a while."""
    deadline = time.monotonic() + REST_SECONDS
    last = server.holdings()
    while time.monotonic() < deadline:
        time.sleep(1.5)  # longer than an idle thread of a pool lingers
        now = server.holdings()
        if (now.threads, now.children, now.descriptors) == (last.threads, last.children, last.descriptors):
            return now
        last = now
    return last


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table; each pair is before and after."""
    rows = []
    for outcome in outcomes:
        before, after = outcome.before, outcome.after
        growth = (after.memory - before.memory) / MEBIBYTE
        row = [outcome.server, f"{outcome.connections:,}", f"{outcome.errors:,}"]
        row += [f"{before.memory / MEBIBYTE:.1f}", f"{growth:+.2f}"]
        for name in ("threads", "children", "descriptors"):
            row.append(f"{getattr(before, name)} → {getattr(after, name)}")
        rows.append(row)
    head = ["server", "requests", "errors", "MiB before", "growth", "threads", "children", "descriptors"]
    return markdown_table(head, rows)


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--server", action="append", choices=SERVERS, help="repeatable; default: all")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    try:
        compile_programs()
    except NotCompiled as reason:
        print(reason, file=sys.stderr)
        return 2
    outcomes = []
    for name in options.server or SERVERS:
        outcomes.append(endure(name, options.connections))
        print(f"{name}: {outcomes[-1].connections:,} requests", file=sys.stderr, flush=True)
    write_page(options.output, "endurance", __doc__, table(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
