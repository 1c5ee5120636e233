"""What a server is put under, and what came of it."""

import json
import math
import re
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.machine import keep_on, load_processors
from bench.process import Server
from bench.programs import LOAD

WARM_UP = 0.5


class LoadFailed(Exception):
    """The server answered nothing; the message says what the load met."""


@dataclass(frozen=True)
class Result:
    """`rate` is of the measured time and `total` of the whole run; what a load does not know is None."""

    rate: float
    total: int
    errors: int = 0
    lost: int = 0
    latency_p50: float | None = None  # microseconds
    latency_p99: float | None = None
    slowest: float | None = None  # the messages of the connection that had the fewest, as a share of the mean
    kibibytes_each: float | None = None  # of the server's memory, for each connection held
    load_cpu: float | None = None  # the share of the time that the load itself had a CPU
    details: dict[str, Any] = field(default_factory=dict)  # for the raw data


#: A load is called with a running server and the seconds to measure: a `Generated` one, or any function.
Load = Callable[[Server, float], Result]


@dataclass(frozen=True)
class Generated:
    """A run of the C load generator, which is bounded in time by itself; the fields are its options."""

    work: str
    connections: int = 50
    size: int = 64
    pipeline: int = 1

    def __call__(self, server: Server, seconds: float) -> Result:
        options = {
            "port": server.port,
            "connections": self.connections,
            "size": self.size,
            "pipeline": self.pipeline,
            "seconds": seconds,
            "warmup": WARM_UP,
        }
        command = [str(LOAD), self.work, *(f"--{name}={value}" for name, value in options.items())]
        memory_before = server.memory()
        kibibytes_each = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as load:
            keep_on(load.pid, load_processors())
            assert load.stdout is not None
            if self.work == "idle" and (held := load.stdout.readline().removeprefix("HELD ")):
                kibibytes_each = (server.memory() - memory_before) / 1024 / max(int(held), 1)
            output, complaint = load.communicate()
        if load.returncode:
            raise LoadFailed(complaint.strip())
        return _result(json.loads(output), kibibytes_each)


def _result(details: dict[str, Any], kibibytes_each: float | None) -> Result:
    shares = details["per_connection"]
    works = details["work"] != "idle"
    return Result(
        rate=details["rate"],
        total=details["total"],
        errors=details["errors"],
        lost=details["lost"],
        latency_p50=details["latency_us"]["p50"],
        latency_p99=details["latency_us"]["p99"],
        slowest=shares["min"] / shares["mean"] if works else None,
        kibibytes_each=kibibytes_each,
        load_cpu=details["load_cpu"] if works else None,
        details=details,
    )


@dataclass(frozen=True)
class Requests:
    """A run of wrk: one thread that asks for a path again and again, on connections that stay open."""

    path: str
    connections: int = 50

    def __call__(self, server: Server, seconds: float) -> Result:
        warm_up = self._run(server, 1)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = self._run(server, math.ceil(seconds))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        requests, took = _requests(report)
        if not requests:
            raise LoadFailed(f"wrk had no answer: {report.strip().splitlines()[-1]}.")
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Result(
            rate=requests / took,
            total=requests + _requests(warm_up)[0],
            errors=sum(int(count) for count in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", report)),
            latency_p50=_microseconds(report, "50%"),
            latency_p99=_microseconds(report, "99%"),
            load_cpu=spent / took,
            details={"wrk": report},
        )

    def _run(self, server: Server, seconds: int) -> str:
        options = ("--threads=1", f"--connections={self.connections}", f"--duration={seconds}s", "--latency")
        command = ["wrk", *options, f"http://127.0.0.1:{server.port}{self.path}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wrk:
            keep_on(wrk.pid, load_processors())
            report, _ = wrk.communicate()
        if wrk.returncode:
            raise LoadFailed(report.strip())
        return report


def _requests(report: str) -> tuple[int, float]:
    """Return how many requests wrk had answered, and in how many seconds."""
    found = re.search(r"(\d+) requests in ([\d.]+)(s|m)", report)
    assert found is not None, report
    return int(found[1]), float(found[2]) * (60 if found[3] == "m" else 1)


def _microseconds(report: str, quantile: str) -> float | None:
    """Return a quantile of the latency that wrk reports."""
    found = re.search(rf"^ +{quantile} +([\d.]+)(us|ms|s)$", report, re.MULTILINE)
    return None if found is None else float(found[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[found[2]]
