"""Running an example as its reader does: in a process of its own, ended by a signal."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Seconds after which a program that neither speaks nor ends has failed.
PATIENCE = 50.0

# The development mode tells of sockets and files that a program forgot to close.
PYTHON = [sys.executable, "-X", "dev"]


class Program:
    """A running example. At its end a signal ends it, after which it must have no complaint and exit status 0.

    `output` is what it has written so far, to standard output or error.
    """

    def __init__(self, name: str, *arguments: object, ended_by: int = signal.SIGTERM) -> None:
        self.output = ""
        self._ended_by = ended_by
        self._socket, its_socket = socket.socketpair()
        self._socket.settimeout(PATIENCE)
        self._lines = self._socket.makefile(encoding="utf-8")
        # A signal that is ignored here, as in a shell's background job, would be ignored there.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with its_socket:
                self.process = subprocess.Popen(
                    [*PYTHON, str(EXAMPLES / name), *map(str, arguments)],
                    stdin=subprocess.PIPE,
                    stdout=its_socket.fileno(),
                    stderr=its_socket.fileno(),
                )
        finally:
            signal.signal(signal.SIGINT, before)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return where the pattern matches a line that the program writes now or later."""
        for line in self._lines:
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"the program ended without {pattern!r}:\n{self.output}")

    def port(self) -> int:
        """Return the port that the program says it listens on."""
        return int(self.wait_for(r"istening on port (\d+)")[1])

    def end(self) -> None:
        """End the program, unless it has ended by itself, and look at how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(self._ended_by)
        # Its output ends when its last child process has ended.
        self.output += self._lines.read()
        status = self.process.wait(PATIENCE)
        assert status == 0, f"exit status {status}:\n{self.output}"
        assert "Traceback" not in self.output, self.output
        assert "Warning" not in self.output, self.output

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.end()
        finally:
            self.process.kill()
            self.process.communicate()
            self._lines.close()
            self._socket.close()


def connect(port: int) -> socket.socket:
    """Return a connection to a program on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def run(name: str, *arguments: object, typed: str = "", folder: Path | None = None) -> str:
    """Run an example that ends by itself, without complaint; return what it writes."""
    ended = subprocess.run(
        [*PYTHON, str(EXAMPLES / name), *map(str, arguments)],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        check=False,
    )
    assert ended.returncode == 0, f"exit status {ended.returncode}:\n{ended.stdout}"
    assert "Warning" not in ended.stdout, ended.stdout
    return ended.stdout
