"""Every vector, read whole and in pieces, by each kind of reader and by each way of reading a body."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from doorkeep.green.core import Reader
from doorkeep.green.pure.streams import Reader as PureReader
from doorkeep.http.bodies import Body
from tests.http.reading import Pieces, answers_to, one_by_one, raw_and_decoded, split_at
from tests.http.vectors import VECTORS, Vector

every_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])


# As `makefile` makes it, and as green connections have it: in Python, and in C where that was built.
READERS: dict[str, Callable[[Pieces], Any]] = {
    "buffered": io.BufferedReader,
    "green": lambda pieces: PureReader(pieces, pieces),
    "compiled": lambda pieces: Reader(pieces, pieces),
}


def in_small_pieces(body: Body) -> bytes:
    """Read a body three bytes at a time."""
    return b"".join(iter(lambda: body.read(3), b""))


def as_it_comes(body: Body) -> bytes:
    """Read a body by `read1`, after a look at it."""
    pieces = []
    while seen := body.peek():
        piece = body.read1()
        assert seen.startswith(piece) or piece.startswith(seen)
        pieces.append(piece)
    assert body.read1() == b""
    return b"".join(pieces)


def by_lines(body: Body) -> bytes:
    """Read a body by lines."""
    lines = list(body)
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(line.count(b"\n") <= 1 for line in lines)
    return b"".join(lines)


def by_short_lines(body: Body) -> bytes:
    """Read a body by lines of at most two bytes."""
    return b"".join(iter(lambda: body.readline(2), b""))


def into_a_buffer(body: Body) -> bytes:
    """Read a body into a buffer, by turns as much as fits and as much as there is."""
    read = bytearray()
    buffer = bytearray(4)
    while size := body.readinto(buffer) if len(read) % 2 else body.readinto1(buffer):
        read += buffer[:size]
    return bytes(read)


def positions(data: bytes) -> Iterator[int]:
    """Return where to split: everywhere, but of very long data only near the ends and here and there."""
    near = 60
    for position in range(1, len(data)):
        if min(position, len(data) - position) <= near or len(data) < 3 * near or position % 4999 == 0:
            yield position


@every_vector
def test_it_is_read_by_the_rule(vector: Vector) -> None:
    assert answers_to(io.BytesIO(vector.data), vector.host_required) == vector.answers


@every_vector
def test_it_is_read_the_same_in_any_pieces(vector: Vector) -> None:
    for name, reader in READERS.items():
        for position in positions(vector.data):
            pieces = Pieces(split_at(vector.data, position))
            assert answers_to(reader(pieces), vector.host_required) == vector.answers, (name, position)
        pieces = Pieces(one_by_one(vector.data))
        assert answers_to(reader(pieces), vector.host_required) == vector.answers, name


@every_vector
def test_a_body_is_the_same_by_any_call(vector: Vector) -> None:
    for read in (in_small_pieces, as_it_comes, by_lines, by_short_lines, into_a_buffer, raw_and_decoded):
        reader = io.BufferedReader(Pieces([vector.data]))
        assert answers_to(reader, vector.host_required, read) == vector.answers, read


@every_vector
def test_a_body_that_is_drained_ends_where_it_does_when_read(vector: Vector) -> None:
    """What is drained is no body: the requests are the same, and what is wrong with a body is not told."""

    def drained(body: Body) -> bytes:
        if not body.drain(1 << 20):
            body.read()
        return b""

    without_bodies = [
        answer if isinstance(answer, int | str) else answer._replace(body=b"") for answer in vector.answers
    ]
    assert answers_to(io.BytesIO(vector.data), vector.host_required, drained) == without_bodies


def test_no_two_vectors_are_the_same() -> None:
    assert len({vector.name for vector in VECTORS}) == len(VECTORS)
    assert len({(vector.data, vector.host_required) for vector in VECTORS}) == len(VECTORS)


def test_each_vector_has_its_rule() -> None:
    assert all(vector.rule for vector in VECTORS)
