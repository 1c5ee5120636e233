"""Chunked bodies with their framing."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from unittest import mock

import pytest

from doorkeep.http.bodies import Body, RawBody
from tests.connection.pairs import Pair
from tests.http.reading import Pieces, one_by_one, split_at
from tests.http.sample_bodies import CHUNKED


class TestRaw:
    """A body with its framing is what the client sent, up to its end."""

    def raw_body_of(self, data: bytes) -> RawBody:
        return RawBody(io.BufferedReader(Pieces([data, b"NEXT"])))

    def test_all(self) -> None:
        body = self.raw_body_of(CHUNKED)
        assert body.read() == CHUNKED
        assert body.finished
        assert body.read() == b""
        assert body.trailers == [("A", "b")]
        assert body.reader.read() == b"NEXT"

    @pytest.mark.parametrize("size", range(1, len(CHUNKED) + 2))
    def test_in_parts_of_any_size(self, size: int) -> None:
        parts: dict[str, Callable[[Body], bytes]] = {
            "read": lambda body: body.read(size),
            "read1": lambda body: body.read1(size),
            "peek": lambda body: body.read(len(body.peek())),
            "readline": lambda body: body.readline(size),
        }
        for part in parts.values():
            body = self.raw_body_of(CHUNKED)
            assert b"".join(iter(partial(part, body), b"")) == CHUNKED
            assert body.finished
            assert body.reader.read() == b"NEXT"

    @pytest.mark.parametrize("position", range(1, len(CHUNKED)))
    def test_however_it_comes(self, position: int) -> None:
        for pieces in (split_at(CHUNKED + b"NEXT", position), one_by_one(CHUNKED + b"NEXT")):
            body = RawBody(io.BufferedReader(Pieces(pieces)))
            assert list(body) == CHUNKED.splitlines(keepends=True)
            assert body.reader.read() == b"NEXT"

    def test_lines_come_as_soon_as_they_are_there(self, pair: Pair) -> None:
        """Who asks for a line of the framing is not made to wait for what follows it."""
        ours, theirs = pair
        with ours.makefile("rb") as reader:
            body = RawBody(reader)
            theirs.sendall(b"2\r\n")
            assert body.readline() == b"2\r\n"
            theirs.sendall(b"ab\r\n0\r\n")
            assert body.read(4) == b"ab\r\n"
            assert body.readline(100) == b"0\r\n"
            theirs.sendall(b"\r\n")
            assert body.readline() == b"\r\n"
            assert body.finished

    @pytest.mark.parametrize("read", range(len(CHUNKED) + 1))
    def test_what_is_left_is_drained(self, read: int) -> None:
        body = self.raw_body_of(CHUNKED)
        body.read(read)
        assert body.drain(len(CHUNKED) - read)
        assert body.finished
        assert body.reader.read() == b"NEXT"
        if read < len(CHUNKED):
            body = self.raw_body_of(CHUNKED)
            body.read(read)
            assert not body.drain(len(CHUNKED) - read - 1)

    def test_the_client_is_asked_once(self) -> None:
        ask = mock.Mock()
        body = RawBody(io.BytesIO(CHUNKED), ask)
        assert not ask.called
        body.read()
        ask.assert_called_once_with()

    def test_it_has_the_descriptor_of_its_connection(self, pair: Pair) -> None:
        with pair[0].makefile("rb") as reader:
            body = RawBody(reader)
            pair[1].sendall(b"1\r\n")
            body.read(1)
            assert body.fileno() == pair[0].fileno()
