"""The chat in the browser."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.examples.programs import PATIENCE, Program, connect
from tests.http.websocket_client import CLOSE, TEXT, Frame, RawClient, close_payload, frame


class House:
    """A running chat."""

    def __init__(self, program: Program, stack: ExitStack) -> None:
        self.program = program
        self.port = program.port()
        self._stack = stack

    def guest(self, name: str) -> RawClient:
        """Return a client that has given its name."""
        guest = self._stack.enter_context(RawClient(connect(self.port)))
        guest.send(frame(TEXT, name.encode()))
        return guest


@pytest.fixture
def chat() -> Iterator[House]:
    with Program("web_chat.py", "--port", 0) as program, ExitStack() as stack:
        yield House(program, stack)


def said(text: str) -> Frame:
    return Frame(8, TEXT, text.encode())


def test_everyone_reads_what_one_says(chat: House) -> None:
    ann, bob = chat.guest("ann"), None
    assert ann.receive() == said("* ann is here")
    bob = chat.guest("bob")
    assert [ann.receive(), bob.receive()] == [said("* bob is here")] * 2
    bob.send(frame(TEXT, "Grüße".encode()))
    assert [ann.receive(), bob.receive()] == [said("bob: Grüße")] * 2
    bob.send(frame(CLOSE, close_payload(1001)))
    assert ann.receive() == said("* bob has gone")
    assert bob.receive() == Frame(8, CLOSE, close_payload(1001))


def test_names_are_given_once(chat: House) -> None:
    assert chat.guest("ann").receive() == said("* ann is here")
    assert chat.guest("ann").receive() == Frame(8, CLOSE, close_payload(1008, b"that name is taken"))
    assert chat.guest(" ").receive() == Frame(8, CLOSE, close_payload(1008, b"no name"))


def test_who_does_not_read_is_dropped_and_delays_nobody(chat: House) -> None:
    slow = RawClient(patient_with_little_room(chat.port))
    with slow:
        slow.send(frame(TEXT, b"slow"))
        assert slow.receive() == said("* slow is here")
        ann = chat.guest("ann")
        assert ann.receive() == said("* ann is here")
        text = "x" * 990
        for _ in range(6000):  # more than the kernel keeps
            ann.send(frame(TEXT, text.encode()))
            assert ann.receive() == said(f"ann: {text}")
        while (found := slow.receive()) is not None and found.opcode == TEXT:
            pass
        assert found == Frame(8, CLOSE, close_payload(1008, b"too slow"))


def patient_with_little_room(port: int) -> socket.socket:
    """Return a connection whose end here keeps next to nothing unread."""
    client = socket.socket()
    client.settimeout(PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


def test_the_page(chat: House) -> None:
    with connect(chat.port) as client, client.makefile("rb") as file:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        page = file.read()
    assert page.startswith(b"HTTP/1.1 200 OK\r\n")
    assert page.endswith(b"</script>\n")


def test_ctrl_c_ends_it_although_a_member_stays() -> None:
    with (
        Program("web_chat.py", "--port", 0, ended_by=signal.SIGINT) as program,
        RawClient(connect(program.port())) as client,
    ):
        client.send(frame(TEXT, b"ann"))
        assert client.receive() == said("* ann is here")
        program.end()
