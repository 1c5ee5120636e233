"""Where and when something was measured."""

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    kernel: str
    python: str
    load_average: float  # of the minute before: how busy it was with other things
    date: str

    @classmethod
    def here(cls) -> "Machine":
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            kernel=f"{platform.system()} {platform.release()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            load_average=round(os.getloadavg()[0], 2),
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.kernel}, {self.python}; "
            f"{self.date}, load average {self.load_average} beforehand"
        )


def load_processors() -> set[int]:
    """The CPU that the load generator is kept on: the last that there is."""
    return {max(os.sched_getaffinity(0))}


def other_processors() -> set[int]:
    """The CPUs of a server that is kept off the load generator's, which there may be no more of."""
    return os.sched_getaffinity(0) - load_processors() or load_processors()


def keep_on(pid: int, processors: set[int]) -> None:
    """Have a process run on no other CPUs; one that has ended already does not mind."""
    with suppress(ProcessLookupError):
        os.sched_setaffinity(pid, processors)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
