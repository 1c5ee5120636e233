"""What is read is whole and in order, by whatever call, however it comes."""

from __future__ import annotations

from typing import Any

import pytest

from doorkeep import StreamRequestHandler
from tests.conformance import reading
from tests.conformance.handlers import Count
from tests.conformance.reading import MESSAGES, SIZE
from tests.conformance.sending import HUGE
from tests.conformance.service import Service, Start
from tests.conformance.targets import Need, Target, streams


def each_way(ways: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", ways, ids=lambda way: way.__name__)


def converse(service: Service) -> None:
    """Send messages one by one, all at once, and in pieces; each answer is the message itself."""
    client = service.connect()
    for message in MESSAGES:
        client.send(message)
        assert client.receive(SIZE) == message
    assert client.receive_all() == b""
    for segment in (None, 1, SIZE - 1, SIZE + 1):
        client = service.connect(segment=segment)
        client.send(b"".join(MESSAGES))
        assert client.receive_all() == b"".join(MESSAGES)


@each_way(reading.BY_FILE)
@streams(Need.SOCKET)
def test_by_file(start: Start, way: reading.Read) -> None:
    converse(start(reading.echoing(way)))


@each_way(reading.BY_SOCKET_ALONE)
@streams(Need.SOCKET)
def test_by_socket(start: Start, way: reading.Read) -> None:
    converse(start(reading.echoing(way)))


@each_way(reading.BY_FLAGS)
@streams(Need.SOCKET, Need.FLAGS)
def test_by_flags(start: Start, way: reading.Read) -> None:
    converse(start(reading.echoing(way)))


@each_way(reading.IN_TASK)
@streams(Need.TASKS)
def test_in_task(start: Start, target: Target, way: reading.ReadInTask) -> None:
    converse(start(reading.echoing_in_task(way)))


class Text(StreamRequestHandler):
    """Answers lines of text in upper case, through one file for both directions."""

    def handle(self) -> None:
        with self.request.makefile("rw", encoding="utf-8", newline="\n") as file:
            while line := file.readline():
                file.write(line.upper())
                file.flush()


class TextLines(StreamRequestHandler):
    """Answers lines of text in upper case, through a file for each direction."""

    def handle(self) -> None:
        with (
            self.request.makefile("r", encoding="utf-8") as lines,
            self.request.makefile("w", encoding="utf-8") as file,
        ):
            for line in lines:
                print(line.strip().upper(), file=file, flush=True)


class BothWays(StreamRequestHandler):
    """Answers lines in upper case, through one buffered file for both directions."""

    def handle(self) -> None:
        with self.request.makefile("rwb") as file:
            while line := file.readline():
                file.write(line.decode().upper().encode())
                file.flush()


class Buffered(StreamRequestHandler):
    """Answers lines in upper case, what it writes being buffered, what it reads hardly."""

    rbufsize = 3
    wbufsize = 1000

    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line.decode().upper().encode())
            self.wfile.flush()


@pytest.mark.parametrize("segment", [None, 1])
@pytest.mark.parametrize("handler", [Text, TextLines, BothWays, Buffered])
@streams(Need.SOCKET)
def test_files_of_many_kinds(start: Start, handler: type, segment: int | None) -> None:
    client = start(handler).connect(segment=segment)
    for line in ("hello\n", "grüße\n", "世界\n"):
        client.send(line.encode())
        assert client.receive(len(line.encode())) == line.upper().encode()
    client.end_sending()
    assert client.receive_all() == b""


class Empties(StreamRequestHandler):
    """Reads nothing in many ways, then all."""

    def handle(self) -> None:
        assert self.rfile.read(0) == b""
        assert self.rfile.readline(0) == b""
        assert self.rfile.readinto(bytearray()) == 0
        data = self.rfile.read()
        assert self.rfile.read() == self.rfile.read(1) == self.rfile.readline() == self.rfile.read1(1) == b""
        assert self.rfile.readlines() == []
        assert next(self.rfile, b"none") == b"none"
        self.wfile.write(data)


@streams(Need.SOCKET)
def test_nothing_and_beyond_the_end(start: Start) -> None:
    client = start(Empties).connect()
    client.send(b"all there is")
    client.end_sending()
    assert client.receive_all() == b"all there is"


class Short(StreamRequestHandler):
    """Wants more than there is."""

    def handle(self) -> None:
        self.wfile.write(b"|".join([self.rfile.read(5), self.rfile.readline(), self.rfile.read(100)]))


@streams(Need.SOCKET)
def test_what_ends_too_early_is_returned_as_far_as_it_came(start: Start) -> None:
    client = start(Short).connect(segment=1)
    client.send(b"01234line\nrest")
    client.end_sending()
    assert client.receive_all() == b"01234|line\n|rest"


@streams()
def test_much(start: Start) -> None:
    client = start(Count).connect()
    client.send(HUGE)
    client.end_sending()
    assert client.receive_all() == b"%d" % len(HUGE)
