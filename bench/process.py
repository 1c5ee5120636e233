"""A server under measurement: a process of its own, and what the kernel says that it used."""

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.machine import keep_on
from bench.programs import ROOT

START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
ENDING_GRACE = 0.5  # between a server's last sign of life and its end
LONGEST_COMPLAINT = 1 << 20  # bytes of stderr
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat, counted from the one after the command's name: see proc(5).
PARENT = 1
SESSION = 3
CPU_TIMES = slice(11, 15)  # utime, stime, and those of the children that were waited for: cutime, cstime


class NotServing(Exception):
    """The server did not start; the message says why."""


@dataclass(frozen=True)
class Holdings:
    """What a process holds: memory in bytes (resident), and how many of the others."""

    memory: int
    threads: int
    children: int
    descriptors: int


class Server:
    """A running server and all the processes of its session, which are its own and its children's."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: int) -> None:
        self.pid = process.pid
        self._process = process
        self._stderr = stderr
        self.port = self._announced_port()

    def complaint(self) -> str:
        """What there is to say about a server that does not answer, in a few words."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_GRACE)
        status = self._process.returncode
        state = "it runs" if status is None else f"it ended with status {status}"
        errors = os.pread(self._stderr, LONGEST_COMPLAINT, 0).decode(errors="replace").splitlines()
        return f"{state}: {errors[-1]}" if errors else state

    def cpu_seconds(self) -> float:
        """CPU time that the server's processes have used, with that of children that have ended."""
        return sum(sum(map(int, stat[CPU_TIMES])) for _, stat in self._processes()) / TICKS_PER_SECOND

    def memory(self) -> int:
        """Bytes: the sum of the resident sets of the server's processes now."""
        return self._sum_of("VmRSS:")

    def peak_memory(self) -> int:
        """Bytes: the sum of the server's processes' highest resident sets."""
        return self._sum_of("VmHWM:")

    def holdings(self) -> "Holdings":
        """What the server's main process holds now."""
        process = Path("/proc") / str(self.pid)
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return Holdings(
            memory=int(status["VmRSS"].split()[0]) * 1024,
            threads=int(status["Threads"]),
            children=sum(1 for _, stat in self._processes() if int(stat[PARENT]) == self.pid),
            descriptors=len(os.listdir(process / "fd")),
        )

    def _sum_of(self, field: str) -> int:
        """Sum up a field of /proc/PID/status that is in KiB; in bytes."""
        found = 0
        for process, _ in self._processes():
            with suppress(OSError):  # it ended meanwhile
                for line in (process / "status").read_text().splitlines():
                    if line.startswith(field):
                        found += int(line.split()[1]) * 1024
        return found

    def _processes(self) -> Iterator[tuple[Path, list[str]]]:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                stat = (process / "stat").read_text().rpartition(") ")[2].split()
                if int(stat[SESSION]) == self.pid:
                    yield process, stat

    def _announced_port(self) -> int:
        assert self._process.stdout is not None
        announced = re.fullmatch(rb"PORT (\d+)\n", _first_line(self._process.stdout.fileno()))
        if announced is None:
            raise NotServing(f"It did not say its port, and {self.complaint()}.")
        return int(announced[1])


@contextmanager
def serving(command: list[str], processors: set[int] | None = None) -> Iterator[Server]:
    """Start a server, wait until it prints `PORT n`, and end all its processes afterwards.

    It runs on the CPUs of these numbers, or where the kernel will.
    """
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True) as process,
    ):
        if processors is not None:
            keep_on(process.pid, processors)
        try:
            yield Server(process, stderr.fileno())
        finally:
            _end(process)


def _first_line(pipe: int) -> bytes:
    """What came until the first newline, the end of the stream or the timeout."""
    deadline = time.monotonic() + START_TIMEOUT
    line = b""
    while not line.endswith(b"\n") and select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
        character = os.read(pipe, 1)
        if not character:
            break
        line += character
    return line


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: whom the kill still reaches are children that outlived the server."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
