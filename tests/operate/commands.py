"""Running the real command, `doorkeep`, as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from doorkeep.addresses import Address, parse_address

__all__ = ["RunningCommand", "doorkeep", "python", "running"]

# Seconds for whatever a process is waited for.
TIMEOUT = 50.0


def doorkeep(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return python("-m", "doorkeep", *arguments, cwd=cwd)


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


@contextmanager
def running(*arguments: str, cwd: Path | None = None, module: str = "doorkeep") -> Iterator[RunningCommand]:
    """Run the command, or another `module`, while the block lasts; at the end it is killed, if it has not ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process, ExitStack() as clients:
        try:
            yield RunningCommand(process, clients)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class RunningCommand:
    """The command while it runs. It is the leader of a process group of its own."""

    def __init__(self, process: subprocess.Popen[str], clients: ExitStack) -> None:
        self.process = process
        self._clients = clients

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Read the standard output up to a line in which `pattern` is found."""
        return self._wait_for(self.process.stdout, pattern)

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Read the standard error up to a line in which `pattern` is found."""
        return self._wait_for(self.process.stderr, pattern)

    def address(self) -> Address:
        """Return the next address of those at which `doorkeep serve` says that it listens."""
        return parse_address(self.wait_for_line(r"^Serving .* at (\S+), ")[1])

    def connect(self, port: int) -> socket.socket:
        """Return a client of a TCP server on the loopback; it is closed with the command."""
        return self._clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, and none of its children."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        return self.process.wait(TIMEOUT)

    def _wait_for(self, stream: IO[str] | None, pattern: str) -> re.Match[str]:
        assert stream is not None
        read = []
        for line in stream:
            found = re.search(pattern, line)
            if found:
                return found
            read.append(line)
        assert self.process.stderr is not None
        raise AssertionError(f"{pattern!r} is not in {read}; standard error: {self.process.stderr.read()}")
