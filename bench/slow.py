"""Clients that are slow on purpose, beside one that works.

    python -m bench.slow [--connections 500] [--server NAME] [--output docs/benchmarks]

slowhttptest holds connections by sending heads of requests a line at a time, bodies a few bytes at a time, or by
reading responses a few bytes at a time. The server has the deadlines that `doorkeep http` has by default. Meanwhile one
client makes one request after another. *Gone* is how many seconds after the server had the most descriptors it had
those of this client alone.
"""

import argparse
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench.__main__ import raise_descriptor_limit
from bench.process import Server, serving
from bench.programs import ROOT
from bench.report import write_page
from bench.tables import ABSENT, markdown_table
from doorkeep.http.settings import NETWORK_DEFAULTS

SERVERS = {
    "GreenHTTPServer": "doorkeep.http.green:GreenHTTPServer",
    "ThreadingHTTPServer": "doorkeep.http.servers:ThreadingHTTPServer",
}
RATE = 500  # connections that slowhttptest opens a second
PATIENCE = 60.0
INTERVAL = 0.1
#: The options of slowhttptest, what the server does, and what is asked for.
MODES = {
    "heads": (("-H", "-i5", "-x24"), "reply", "/"),
    "bodies": (("-B", "-i5", "-x24", "-s8192"), "reply", "/"),
    "reading": (("-X", "-n5", "-z32", "-w512", "-y1024", "-k3"), "files", "/1048576"),
}


@dataclass
class Work:
    """What the client has met that works."""

    requests: int = 0
    failed: int = 0
    longest: float = 0.0


@dataclass
class Outcome:
    """A mode: `most` connections at a time, none left `gone` seconds after they were; None if some stayed."""

    mode: str
    most: int = 0
    gone: float | None = None
    work: Work = field(default_factory=Work)


def ask(server: Server, path: str) -> int:
    """Make a request on a connection of its own; return the status of the response, once it has come whole."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as client:
        client.request("GET", path)
        response = client.getresponse()
        response.read()
        return response.status


def work_on(server: Server, path: str, work: Work, stop: threading.Event) -> None:
    """Make one request after another until told to stop."""
    while not stop.wait(0.01):
        began = time.monotonic()
        try:
            work.failed += ask(server, path) != 200
        except (OSError, http.client.HTTPException):
            work.failed += 1
        work.requests += 1
        work.longest = max(work.longest, time.monotonic() - began)


def attack(
    mode: str, server_class: str, connections: int, deadlines: Mapping[str, object] = NETWORK_DEFAULTS
) -> Outcome:
    """Let slowhttptest at a fresh server, and watch until its connections are gone."""
    options, kind, path = MODES[mode]
    light = path if kind == "reply" else "/4096"
    settings = [f"--set={name}={value!r}" for name, value in deadlines.items()]
    command = [sys.executable, "-m", "bench.contenders.web", kind, f"--server={SERVERS[server_class]}", *settings]
    outcome = Outcome(mode)
    stop = threading.Event()
    with serving(command) as server:
        ask(server, light)  # so that it has opened all that it needs for itself
        idle = server.holdings().descriptors
        worker = threading.Thread(target=work_on, args=(server, light, outcome.work, stop))
        worker.start()
        place = f"-uhttp://127.0.0.1:{server.port}{path}"
        slow = [f"-c{connections}", f"-r{RATE}", f"-l{PATIENCE:.0f}", *options, place]
        with subprocess.Popen(["slowhttptest", *slow], stdout=subprocess.DEVNULL) as attacker:
            watch(server, idle, connections, outcome)
            attacker.terminate()
        stop.set()
        worker.join()
    return outcome


def watch(server: Server, idle: int, connections: int, outcome: Outcome) -> None:
    """Note the most connections that there were, and when they are gone but for that of the client that works."""
    never = threading.Event()
    end = time.monotonic() + PATIENCE
    reached = end
    while time.monotonic() < end:
        held = server.holdings().descriptors - idle
        if held > outcome.most:
            outcome.most, reached = held, time.monotonic()
        if outcome.most >= connections / 2 and held <= 1:
            outcome.gone = time.monotonic() - reached
            return
        never.wait(INTERVAL)


def row(outcome: Outcome) -> list[str]:
    """Return the outcome as it is shown."""
    work = outcome.work
    gone = ABSENT if outcome.gone is None else f"{outcome.gone:.1f}"
    return [outcome.mode, str(outcome.most), gone, str(work.requests), str(work.failed), f"{work.longest * 1e3:.0f}"]


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--server", choices=SERVERS, default="GreenHTTPServer")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    outcomes = [attack(mode, options.server, options.connections) for mode in MODES]
    head = ["slow", "connections", "gone after s", "requests beside them", "failed", "slowest ms"]
    measured = markdown_table(head, [row(outcome) for outcome in outcomes])
    deadlines = ", ".join(f"`{name}={value!r}`" for name, value in NETWORK_DEFAULTS.items())
    write_page(options.output, "slow", __doc__, measured, f"`{options.server}` with {deadlines}.")
    failed = any(outcome.gone is None or outcome.work.failed for outcome in outcomes)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
