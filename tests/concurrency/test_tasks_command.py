"""Coroutine handlers from the command line."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.operate.commands import doorkeep, running

HANDLERS = """\
import asyncio
from doorkeep import DatagramRequestHandler, StreamRequestHandler

class Upper(StreamRequestHandler):
    async def handle(self):
        async for line in self.reader:
            self.writer.write(line.upper())

class Plain(StreamRequestHandler):
    def handle(self):
        pass

class Stays(StreamRequestHandler):
    async def handle(self):
        self.writer.write(b"in\\n")
        await asyncio.get_running_loop().create_future()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the module `handlers`."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


def arguments(handler: str, *more: str) -> tuple[str, ...]:
    return ("serve", f"handlers:{handler}", "--bind", "tcp://127.0.0.1:0", "--concurrency", "async", *more)


def test_serves(folder: Path) -> None:
    with running(*arguments("Upper"), cwd=folder) as command:
        client = command.connect(command.address().server_address[1])
        client.sendall(b"hello\n")
        assert client.recv(6) == b"HELLO\n"
        client.close()
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 0


def test_takes_a_number(folder: Path) -> None:
    with running("serve", *arguments("Upper")[1:-1], "async:1", cwd=folder) as command:
        port = command.address().server_address[1]
        first, second = command.connect(port), command.connect(port)
        first.sendall(b"first\n")
        assert first.recv(6) == b"FIRST\n"
        second.sendall(b"second\n")
        first.close()
        assert second.recv(7) == b"SECOND\n"


def test_ends_requests_after_their_time(folder: Path) -> None:
    with running(*arguments("Stays", "--drain-timeout", "0.1"), cwd=folder) as command:
        client = command.connect(command.address().server_address[1])
        assert client.recv(3) == b"in\n"
        command.send_signal(signal.SIGTERM)
        assert client.recv(1) == b""
        assert command.wait() == 0


def test_refuses_a_plain_handler_in_a_sentence(folder: Path) -> None:
    ended = doorkeep(*arguments("Plain"), cwd=folder)
    assert ended.returncode == 2
    assert ended.stderr.startswith("doorkeep serve: Plain would hold up all other requests")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("concurrency", ["green", "thread"])
def test_others_refuse_a_coroutine_handler_in_a_sentence(concurrency: str, folder: Path) -> None:
    ended = doorkeep(*arguments("Upper")[:-1], concurrency, cwd=folder)
    assert ended.returncode == 2
    assert ended.stderr == (
        "doorkeep serve: handlers:Upper handles requests in coroutines: it needs --concurrency async\n"
    )


def test_cannot_stand_for_the_threads_of_a_program(folder: Path) -> None:
    (folder / "program.py").write_text("print('was run')")
    ended = doorkeep("adopt", "--concurrency", "async", "program.py", cwd=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("doorkeep adopt: async cannot stand for threads: ")
    assert ended.stderr.count("\n") == 1
