"""The programs on green servers."""

from __future__ import annotations

import runpy
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from doorkeep.green import run as run_hub
from doorkeep.green import sleep, spawn
from tests.examples.programs import EXAMPLES, PATIENCE, Program, connect, run

# -- The forwarder -----------------------------------------------------------------------------------------------


@pytest.fixture
def forwarder() -> Iterator[Program]:
    with (
        Program("tcp_server.py", "--port", 0) as server,
        Program("green_forwarder.py", "--port", 0, "--to", f"127.0.0.1:{server.port()}") as forwarder,
    ):
        yield forwarder


def test_a_conversation_goes_through(forwarder: Program) -> None:
    assert "HELLO" in run("tcp_client.py", "--port", forwarder.port(), "hello")


def test_conversations_go_on_side_by_side() -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream, ExitStack() as stack:
        upstream.settimeout(PATIENCE)
        to = f"127.0.0.1:{upstream.getsockname()[1]}"
        port = stack.enter_context(Program("green_forwarder.py", "--port", 0, "--to", to)).port()
        pairs = []
        for number in range(3):
            client = stack.enter_context(connect(port))
            pairs.append((client, stack.enter_context(upstream.accept()[0]), b"%d" % number))
        for client, server, text in pairs:
            client.sendall(text)
            assert server.recv(100) == text
        for client, server, text in reversed(pairs):
            server.sendall(text)
            assert client.recv(100) == text
            client.shutdown(socket.SHUT_WR)
            assert server.recv(100) == b""  # one way has ended, the other goes on
            server.sendall(b"more")
            assert client.recv(100) == b"more"
            server.close()
            assert client.recv(100) == b""


def test_whom_it_cannot_reach_it_tells_of() -> None:
    with socket.socket() as holder:  # of a port at which nobody listens
        holder.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{holder.getsockname()[1]}"
        with Program("green_forwarder.py", "--port", 0, "--to", to) as forwarder:
            with connect(forwarder.port()) as client:
                assert client.recv(100) == b""
            forwarder.wait_for("cannot be reached: .*refused")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_forwarder_ends_although_a_client_stays(number: int) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        Program(
            "green_forwarder.py", "--port", 0, "--to", f"127.0.0.1:{upstream.getsockname()[1]}", ended_by=number
        ) as forwarder,
        connect(forwarder.port()) as client,
        upstream.accept()[0] as server,
    ):
        client.sendall(b"hello")
        assert server.recv(100) == b"hello"
        forwarder.end()
        assert client.recv(100) == server.recv(100) == b""


# -- The board ---------------------------------------------------------------------------------------------------


class Board:
    """A running board."""

    def __init__(self, program: Program, stack: ExitStack) -> None:
        self.program = program
        self._stack = stack
        found = program.wait_for(r"UDP port (\d+), TCP port (\d+)")
        self._udp_port, self._tcp_port = int(found[1]), int(found[2])

    def reader(self) -> Iterator[str]:
        """Return the notes from now on, as they come."""
        lines = self._stack.enter_context(self._stack.enter_context(connect(self._tcp_port)).makefile())
        assert next(lines) == "Notes from now on:\n"
        return lines

    def pin(self, note: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(note, ("127.0.0.1", self._udp_port))


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with (
        Program("green_board.py", "--port", 0, "--output", tmp_path / "notes.txt") as program,
        ExitStack() as stack,
    ):
        yield Board(program, stack)


def test_all_readers_read_each_note(board: Board, tmp_path: Path) -> None:
    first, second = board.reader(), board.reader()
    for note in ("one", "two"):
        board.pin(note.encode())
        assert next(first) == next(second) == f"127.0.0.1: {note}\n"
    board.pin(b"bell\a and no end\n")
    assert next(first) == "127.0.0.1: bell and no end\n"
    assert (tmp_path / "notes.txt").read_text().splitlines() == [
        "127.0.0.1: one",
        "127.0.0.1: two",
        "127.0.0.1: bell and no end",
    ]


def test_a_reader_that_is_too_far_behind_is_let_go(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "green_board.py"))
    board, most = example["Board"](tmp_path / "notes.txt"), example["MOST_UNREAD"]
    notes = board.read()

    def main() -> None:
        first = spawn(next, notes)
        sleep(0)
        board.pin("first")
        assert first.result(30) == "first"
        for number in range(most + 1):
            board.pin(str(number))

    run_hub(main)
    assert list(notes) == [str(number) for number in range(1, most)]


def test_the_board_ends_although_a_reader_stays(board: Board) -> None:
    reader = board.reader()
    board.program.end()
    assert list(reader) == []
