"""How long a client is waited for, by what it has sent and taken so far."""

from __future__ import annotations

import io
import math
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep.connection.registry import Connection
from doorkeep.http import pace
from doorkeep.http.pace import PacedReader, taking_deadline
from doorkeep.http.settings import GRACE

RATE = 100


@pytest.fixture
def connection() -> Iterator[Connection]:
    with socket.socket() as request:
        yield Connection(request, lambda lost: None, None, None)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return what `time.monotonic` says, for tests to change."""
    clock = [1000.0]
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


class Slow(io.BytesIO):
    """A stream of which each read takes a second, and notes until when it is waited for."""

    def __init__(self, data: bytes, connection: Connection, now: list[float]) -> None:
        super().__init__(data)
        self._connection, self._now = connection, now
        self.allowed: list[float] = []

    def read1(self, size: int | None = -1, /) -> bytes:
        assert self._connection.waits_for == "min_body_rate"
        self.allowed.append(self._connection.waits_until - self._now[0])
        self._now[0] += 1
        return super().read1(min(300, -1 if size is None else size))


class TestSending:
    def test_the_deadline_goes_by_what_has_come(self, connection: Connection, now: list[float]) -> None:
        stream = Slow(bytes(1000), connection, now)
        assert PacedReader(stream, connection, RATE).read(1000) == bytes(1000)
        # Of 300, 600 and 900 bytes at 100 a second, less the seconds that were waited.
        assert stream.allowed == [GRACE, GRACE - 1, 6 - 2, 9 - 3]

    def test_the_handlers_time_does_not_count(self, connection: Connection, now: list[float]) -> None:
        stream = Slow(bytes(10), connection, now)
        reader = PacedReader(stream, connection, RATE)
        assert reader.read(1) == b"\0"
        now[0] += 1000
        assert reader.read1(1) == b"\0"
        assert stream.allowed == [GRACE, GRACE - 1]
        assert (connection.waits_for, connection.waits_until) == ("", math.inf)

    def test_reads_as_the_stream_does(self, connection: Connection) -> None:
        reader = PacedReader(io.BufferedReader(io.BytesIO(b"a\nbcdef")), connection, RATE)
        assert reader.peek(1).startswith(b"a")
        assert reader.readline(100) == b"a\n"
        assert reader.readline(2) == b"bc"
        assert (reader.read(100), reader.read(100), reader.read1(1)) == (b"def", b"", b"")

    def test_the_wait_is_over_when_it_fails(self, connection: Connection) -> None:
        class Fails(io.BytesIO):
            def read1(self, size: int | None = -1, /) -> bytes:
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            PacedReader(Fails(), connection, RATE).read(1)
        assert (connection.waits_for, connection.waits_until) == ("", math.inf)


class TestTaking:
    @pytest.fixture
    def kernel(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """Return what the kernel says of a connection: whether something waits, and how much was taken."""
        says: list[Any] = [None]
        monkeypatch.setattr(pace, "unsent_of", lambda request: says[0])
        return says

    def test_nothing_is_due_where_nothing_waits(self, connection: Connection, kernel: list[Any]) -> None:
        for said in (None, (False, 0)):
            kernel[0] = said
            assert taking_deadline(connection, None, RATE, 1000.0) == math.inf

    def test_who_takes_enough_gets_more_time(self, connection: Connection, kernel: list[Any]) -> None:
        kernel[0] = (True, 0)
        assert taking_deadline(connection, None, RATE, 1000.0) == 1000 + GRACE
        kernel[0] = (True, 1000)
        assert taking_deadline(connection, None, RATE, 1001.0) == 1000 + GRACE
        assert taking_deadline(connection, None, RATE, 1000 + GRACE) == 1000 + 2 * GRACE

    def test_who_does_not_is_late(self, connection: Connection, kernel: list[Any]) -> None:
        kernel[0] = (True, 0)
        taking_deadline(connection, None, RATE, 1000.0)
        kernel[0] = (True, RATE * GRACE - 1)
        assert taking_deadline(connection, None, RATE, 1000 + GRACE) <= 1000 + GRACE

    def test_who_has_taken_all_begins_anew(self, connection: Connection, kernel: list[Any]) -> None:
        kernel[0] = (True, 0)
        taking_deadline(connection, None, RATE, 1000.0)
        kernel[0] = (False, 10)
        taking_deadline(connection, None, RATE, 1001.0)
        kernel[0] = (True, 10)
        assert taking_deadline(connection, None, RATE, 1002.0) == 1002 + GRACE
