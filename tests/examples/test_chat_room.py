"""The chat room."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.examples.programs import PATIENCE, Program, connect


class Guest:
    """A client of the chat that has given its name."""

    def __init__(self, connection: socket.socket, name: str, stack: ExitStack) -> None:
        self.connection = stack.enter_context(connection)
        self._lines = stack.enter_context(connection.makefile("r", encoding="utf-8", newline="\n"))
        assert self.reads() == "Your name?"
        self.says(name)

    def says(self, line: str) -> None:
        self.connection.sendall(f"{line}\n".encode())

    def reads(self) -> str:
        """Return the next line; empty at the end."""
        return self._lines.readline().rstrip("\n")

    def reads_after(self, line: str) -> str:
        """Say something and return the next line."""
        self.says(line)
        return self.reads()


class House:
    """A running chat."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self.port = port
        self.stack = stack

    def guest(self, name: str) -> Guest:
        """Return a guest who has read that it has joined."""
        guest = Guest(connect(self.port), name, self.stack)
        assert guest.reads() == f"* {name} joined lobby"
        return guest


@pytest.fixture
def chat() -> Iterator[House]:
    with Program("chat_room.py", "--port", 0) as program, ExitStack() as stack:
        yield House(program.port(), stack)


def test_all_in_a_room_read_what_one_says(chat: House) -> None:
    ann, bob = chat.guest("ann"), chat.guest("bob")
    assert ann.reads() == "* bob joined lobby"
    bob.says("Grüße")
    bob.says("")
    ann.says("hello")
    assert sorted((ann.reads(), ann.reads())) == ["ann: hello", "bob: Grüße"]


def test_rooms_do_not_hear_each_other(chat: House) -> None:
    ann, bob, eve = chat.guest("ann"), chat.guest("bob"), chat.guest("eve")
    assert [ann.reads(), ann.reads(), bob.reads()] == [f"* {who} joined lobby" for who in ("bob", "eve", "eve")]
    assert ann.reads_after("/join garden") == "* ann left lobby"
    assert ann.reads() == "* ann joined garden"
    assert [bob.reads(), eve.reads()] == 2 * ["* ann left lobby"]
    assert ann.reads_after("nice here") == "ann: nice here"
    assert bob.reads_after("/join garden") == "* bob left lobby"
    assert [bob.reads(), ann.reads()] == 2 * ["* bob joined garden"]
    assert bob.reads_after("indeed") == "bob: indeed"
    assert ann.reads() == "bob: indeed"
    assert eve.reads() == "* bob left lobby"
    assert eve.reads_after("alone") == "eve: alone"


def test_leaving_is_announced(chat: House) -> None:
    ann, bob, eve = chat.guest("ann"), chat.guest("bob"), chat.guest("eve")
    assert [ann.reads() for _ in range(2)] == ["* bob joined lobby", "* eve joined lobby"]
    bob.says("/quit")
    assert ann.reads() == "* bob left lobby"
    eve.connection.shutdown(socket.SHUT_WR)
    assert ann.reads() == "* eve left lobby"
    assert [bob.reads(), bob.reads()] == ["* eve joined lobby", ""]


def test_reset_connection_leaves_as_well(chat: House) -> None:
    ann = chat.guest("ann")
    with ExitStack() as soon_gone:
        bob = Guest(connect(chat.port), "bob", soon_gone)
        assert ann.reads() == "* bob joined lobby"
        # Seconds to linger: none. The connection is reset when it is closed.
        bob.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ann.reads() == "* bob left lobby"


def test_name_is_given_once(chat: House) -> None:
    chat.guest("ann")
    other = Guest(connect(chat.port), "ann", chat.stack)
    assert other.reads() == "* that name is taken"
    assert other.reads() == ""


def test_control_characters_are_left_out(chat: House) -> None:
    ann = chat.guest("ann")
    ann.says("\x1b[2Jhi\x07")
    assert ann.reads() == "ann: [2Jhi"


def test_slow_reader_is_dropped_and_delays_nobody(chat: House) -> None:
    ann = chat.guest("ann")
    slow = socket.socket()
    slow.settimeout(PATIENCE)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", chat.port))
    Guest(slow, "slow", chat.stack)
    assert ann.reads() == "* slow joined lobby"
    text = "x" * 900
    for _ in range(10_000):
        answer = ann.reads_after(text)
        if answer == "* slow left lobby":
            break
        assert answer == f"ann: {text}"
    else:
        pytest.fail("a guest who reads nothing is still there")
