"""Runs the console blocks of a page: what follows `$ ` is a command, and what stands below it is its output.

    $ echo one two
    one ...

Where the page shows output it must be that; `...` stands for any text. A command that fails must show what it
prints. A block titled "in a terminal of its own" leaves its command running, as a reader would, from when it has
printed its first line. Its other lines may come while later blocks run: they are looked at when it ends, at the next
such block or at the end of the page. It ends by Ctrl-C, which `^C` stands for.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.docs.blocks import Block

__all__ = ["OWN_TERMINAL", "Command", "Terminal", "commands_of", "shows"]

OWN_TERMINAL = "in a terminal of its own"
TIMEOUT = 30.0

# The ports that pages name; each is replaced by one that is free.
_PORT = re.compile(r"\b99\d\d\b")

# What stands for commands that a test cannot run as they are: they would install first, or have the port of users.
_STAND_INS = dict.fromkeys(("make run", "doorkeep serve"), "doorkeep serve --bind tcp://127.0.0.1:9999")


@dataclass
class Command:
    """A command, the lines that the page shows below it, and those that it shows after Ctrl-C."""

    text: str
    output: list[str] = field(default_factory=list)
    last_output: list[str] = field(default_factory=list)


def commands_of(code: str) -> list[Command]:
    """Return the commands of a console block. Raises `ValueError` if it does not begin with one."""
    commands: list[Command] = []
    output: list[str] | None = None
    for line in code.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ ")))
            output = commands[-1].output
        elif output is None:
            raise ValueError(f"a console block begins with a command, not with {line!r}")
        elif not output and commands[-1].text.endswith("\\"):
            commands[-1].text += f"\n{line}"
        elif line == "^C":
            output = commands[-1].last_output
        else:
            output.append(line)
    return commands


def shows(expected: list[str], actual: str) -> bool:
    """Return whether lines of a page are what was printed, where `...` stands for any text."""
    pattern = ".*".join(map(re.escape, "\n".join(expected).split("...")))
    return re.fullmatch(pattern, actual.rstrip("\n"), re.DOTALL) is not None


class Terminal:
    """A shell in a folder of its own, with the commands of this Python's environment; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[str, str] = {}
        self._status = 0
        self._left_running: tuple[Block, Command, subprocess.Popen[str]] | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._interrupt()
        elif self._left_running is not None:
            with self._left_running[2] as process:
                _kill(process)

    def with_free_ports(self, text: str) -> str:
        """Return a text of the page with free ports in place of those that it names."""
        return _PORT.sub(lambda found: self._free_port(found[0]), text)

    def run(self, block: Block) -> None:
        """Run the commands of a block. Raises `AssertionError` if one does not do what the page shows."""
        for command in commands_of(block.code):
            if block.attributes.get("title") == OWN_TERMINAL:
                self._interrupt()
                self._leave_running(block, command)
            else:
                self._run(block, command)

    def _run(self, block: Block, command: Command) -> None:
        with self._start(command) as process:
            try:
                printed, _ = process.communicate(timeout=TIMEOUT)
            except BaseException:
                _kill(process)
                raise
        self._status = process.returncode
        self._compare(block, command, command.output, printed)
        assert process.returncode == 0 or command.output, f"{block}: {command.text} fails, and the page does not say so"

    def _leave_running(self, block: Block, command: Command) -> None:
        process = self._start(command)
        self._left_running = block, command, process
        self._compare(block, command, command.output[:1], _lines(process, 1))

    def _interrupt(self) -> None:
        if self._left_running is None:
            return
        block, command, process = self._left_running
        self._left_running = None
        with process:
            try:
                printed = _lines(process, len(command.output) - 1)
                self._compare(block, command, command.output[1:], printed)
                os.killpg(process.pid, signal.SIGINT)
                printed = _lines(process)
            finally:
                _kill(process)
        self._compare(block, command, command.last_output, printed)
        assert process.returncode == 0, f"{block}: {command.text} ends with status {process.returncode}"

    def _start(self, command: Command) -> subprocess.Popen[str]:
        text = self.with_free_ports(_STAND_INS.get(command.text, command.text))
        commands = Path(sys.executable).parent
        # Tests run in the background ignore Ctrl-C, and would leave that to the command.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                ["bash", "-c", f"(exit {self._status})\n{text}"],
                cwd=self._folder,
                env=os.environ
                | {
                    "PATH": f"{commands}:{os.environ['PATH']}",
                    "PYTHONUNBUFFERED": "1",
                    "NO_COLOR": "1",
                    "COLUMNS": "100",
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def _compare(self, block: Block, command: Command, expected: list[str], printed: str) -> None:
        for documented, free in self._ports.items():
            printed = re.sub(rf"\b{free}\b", documented, printed)
        assert not expected or shows(expected, printed), f"{block}: {command.text} prints\n{printed}"

    def _free_port(self, documented: str) -> str:
        if documented not in self._ports:
            self._ports[documented] = next(port for port in _free_ports() if port not in self._ports.values())
        return self._ports[documented]


def _free_ports() -> Iterator[str]:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield str(listener.getsockname()[1])


def _lines(process: subprocess.Popen[str], count: int | None = None) -> str:
    """Return the next lines that a process prints, all of them if there is no count."""
    assert process.stdout is not None
    return "".join(itertools.islice(process.stdout, count))


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
