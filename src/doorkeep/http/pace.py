"""How fast a client must be: the minimum rate of bodies."""

from __future__ import annotations

import math
import time
from typing import Any

from doorkeep.connection.peers import unsent_of
from doorkeep.connection.registry import Connection
from doorkeep.http import settings

__all__ = ["PacedReader", "taking_deadline"]


class PacedReader:
    """Reads a body from a connection, and notes for the server's deadlines until when its client must have sent more.

    Only the time counts that is spent waiting: a handler may take its own between two reads.
    """

    __slots__ = ("_connection", "_rate", "_received", "_stream", "_waited")

    def __init__(self, stream: Any, connection: Connection, rate: int) -> None:
        self._stream = stream
        self._connection = connection
        self._rate = rate
        self._received = 0
        self._waited = 0.0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer at the end of the stream."""
        piece: bytes = self.read1(size)
        if len(piece) == size or not piece:
            return piece
        pieces = [piece]
        rest = size - len(piece)
        while rest and (piece := self.read1(rest)):
            pieces.append(piece)
            rest -= len(piece)
        return b"".join(pieces)

    def read1(self, size: int) -> bytes:
        """Return at most `size` bytes of what there is, waiting for some; none at the end of the stream."""
        read = getattr(self._stream, "read1", self._stream.read)
        return self._timed(read, size)

    def readline(self, size: int) -> bytes:
        """Return a line, or its first `size` bytes."""
        return self._timed(self._stream.readline, size)

    def peek(self, size: int) -> bytes:
        """Return some of what comes next, waiting for it, and leave it to be read."""
        data = self._timed(self._stream.peek, size)
        self._received -= len(data)
        return data

    def fileno(self) -> int:
        """Return the connection's descriptor."""
        number: int = self._stream.fileno()
        return number

    def _timed(self, read: Any, size: int) -> bytes:
        connection = self._connection
        began = time.monotonic()
        allowed = max(settings.GRACE, self._received / self._rate)
        connection.waits_for = "min_body_rate"
        connection.waits_until = began + max(allowed - self._waited, 0)
        try:
            data: bytes = read(size)
        finally:
            connection.waits_until = math.inf
            connection.waits_for = ""
            self._waited += time.monotonic() - began
        self._received += len(data)
        return data


def taking_deadline(connection: Connection, request: Any, rate: int, now: float) -> float:
    """Return until when a client must have taken more of what is sent to it; infinity if nothing waits for it."""
    found = unsent_of(request)
    if found is None or not found[0]:
        connection.progress = None
        return math.inf
    acknowledged = found[1]
    if connection.progress is None:
        connection.progress = now, acknowledged
    since, before = connection.progress
    if now >= since + settings.GRACE and acknowledged - before >= rate * (now - since):
        since = now
        connection.progress = now, acknowledged
    return float(since + settings.GRACE)
