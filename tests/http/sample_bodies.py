"""Bodies that many tests read, and the ways to read them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from doorkeep.http.bodies import Body
from tests.http.reading import Pieces

__all__ = ["CHUNKED", "CONTENT", "READS", "body_of"]

CONTENT = b"a\nbc\nd\ne"
CHUNKED = b"3\r\na\nb\r\n4;x=y\r\nc\nd\n\r\n1\r\ne\r\n0\r\nA: b\r\n\r\n"

# Each reads until it meets something beyond the first two bytes.
READS: dict[str, Callable[[Body], object]] = {
    "read": lambda body: body.read(),
    "read1": lambda body: [body.read1(), body.read1()],
    "peek": lambda body: [body.read1(), body.peek()],
    "readline": lambda body: body.readline(),
    "readlines": lambda body: body.readlines(),
    "readinto": lambda body: body.readinto(bytearray(9)),
    "readinto1": lambda body: [body.readinto1(bytearray(9)), body.readinto1(bytearray(9))],
    "iteration": list,
}


def body_of(data: bytes, length: int | None = None, **arguments: Any) -> Body:
    """Return a body that is at the beginning of `data`, behind which is more."""
    return Body(io.BufferedReader(Pieces([data, b"NEXT"])), length, **arguments)
