"""Bodies of requests, beyond what the vectors say: they are read, and they are files."""

from __future__ import annotations

import io
from typing import Any
from unittest import mock

import pytest

from doorkeep.http.bodies import Body
from doorkeep.http.head import IncompleteRequestError
from tests.background import Background
from tests.connection.pairs import Pair
from tests.http.reading import Pieces
from tests.http.sample_bodies import CHUNKED, CONTENT, READS, body_of


class TestReading:
    def test_all(self, body: Body) -> None:
        assert body.read() == CONTENT
        assert body.read() == b""
        assert body.reader.read() == b"NEXT"

    @pytest.mark.parametrize("size", [-1, None, 8, 9, 1 << 40])
    def test_no_more_than_there_is(self, body: Body, size: int | None) -> None:
        assert body.read(size) == CONTENT

    def test_in_parts(self, body: Body) -> None:
        assert [body.read(size) for size in (0, 1, 5, 100, 1)] == [b"", b"a", b"\nbc\nd", b"\ne", b""]

    def test_what_there_is(self, body: Body) -> None:
        assert body.read1(0) == b""
        assert body.read1(2) == b"a\n"
        rest = b""
        while piece := body.read1():
            rest += piece
        assert b"a\n" + rest == CONTENT
        assert body.read1(None) == b""

    def test_peeking_leaves_all(self, body: Body) -> None:
        seen = body.peek()
        assert seen
        assert CONTENT.startswith(seen)
        assert body.peek(100) == seen
        assert body.read() == CONTENT
        assert body.peek() == b""

    def test_lines(self, body: Body) -> None:
        assert body.readline() == b"a\n"
        assert body.readline(1) == b"b"
        assert body.readline(None) == b"c\n"
        assert body.readline(0) == b""
        assert list(body) == [b"d\n", b"e"]
        assert body.readline() == b""

    def test_list_of_lines(self, body: Body) -> None:
        assert body.readlines(3) == [b"a\n", b"bc\n"]
        assert body.readlines(None) == [b"d\n", b"e"]
        assert body.readlines() == []

    @pytest.mark.parametrize("hint", range(-1, 11))
    def test_list_of_lines_by_size(self, hint: int) -> None:
        lines = io.BufferedReader(Pieces([CONTENT])).readlines(hint)
        assert body_of(CONTENT, len(CONTENT)).readlines(hint) == lines
        assert body_of(CHUNKED).readlines(hint) == lines

    def test_into_a_buffer(self, body: Body) -> None:
        buffer = bytearray(5)
        assert body.readinto(buffer) == 5
        assert buffer == b"a\nbc\n"
        assert body.readinto(memoryview(buffer)[1:3]) == 2
        assert body.readinto1(buffer) == 1
        assert body.readinto(buffer) == 0
        assert buffer == b"ed\nc\n"

    def test_as_text(self, body: Body) -> None:
        assert list(io.TextIOWrapper(body, "ascii")) == ["a\n", "bc\n", "d\n", "e"]  # type: ignore[type-var]  # a file by registration

    def test_of_a_reader_that_is_not_buffered(self, pair: Pair) -> None:
        ours, theirs = pair
        with ours.makefile("rb", 0) as reader:
            theirs.sendall(CHUNKED + b"NEXT")
            body = Body(reader, None)
            assert body.readline() == b"a\n"
            assert body.read1() == b"b"
            assert body.read() == CONTENT[3:]
            assert reader.read(4) == b"NEXT"

    def test_lets_a_slow_client_be_waited_for(self, pair: Pair) -> None:
        """What has come is handed out at once by `read1`, while `read` waits for all it is asked for."""
        ours, theirs = pair
        with ours.makefile("rb") as reader:
            body = Body(reader, None)
            theirs.sendall(b"5\r\nhe")
            assert body.read1() == b"he"
            reading = Background(body.read, 4)
            theirs.sendall(b"llo\r\n1\r\n!\r\n")
            assert reading.result() == b"llo!"

    def test_a_connection_that_does_not_block_is_refused(self, pair: Pair) -> None:
        ours, _ = pair
        with ours.makefile("rb", 0) as reader:
            ours.setblocking(False)
            with pytest.raises(BlockingIOError, match="blocks"):
                Body(reader, 5).read()

    @pytest.mark.parametrize("data", [b"", b"%x\r\n" % (1 << 40)], ids=["of a length", "chunked"])
    def test_a_length_alone_costs_no_memory(self, data: bytes) -> None:
        asked = []

        class Reader(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                asked.append(size)
                return super().read(size)

        length = None if data else 1 << 40
        with pytest.raises(IncompleteRequestError):
            Body(Reader(data), length).read()
        with pytest.raises(IncompleteRequestError):
            Body(Reader(data), length).read(1 << 39)
        assert not Body(Reader(data), length).drain(1 << 41)
        assert asked == [1 << 18] * 3


class TestBeforeTheFirstRead:
    @pytest.mark.parametrize("read", READS)
    @pytest.mark.parametrize(("data", "length"), [(b"a", 1), (b"1\r\na\r\n0\r\n\r\n", None)])
    def test_the_client_is_asked_once(self, read: str, data: bytes, length: int | None) -> None:
        ask = mock.Mock()
        body = body_of(data, length, on_first_read=ask)
        assert not ask.called
        READS[read](body)
        ask.assert_called_once_with()
        body.read()
        ask.assert_called_once_with()
        assert body.drain(100)

    def test_nobody_is_asked_for_nothing(self) -> None:
        ask = mock.Mock()
        assert body_of(b"", 0, on_first_read=ask).read() == b""
        assert body_of(b"a", 1, on_first_read=ask).read(0) == b""
        assert not ask.called


class TestAsAFile:
    def test_it_is_one(self, body: Body) -> None:
        assert issubclass(type(body), io.BufferedIOBase)
        assert (body.readable(), body.writable(), body.seekable(), body.isatty()) == (True, False, False, False)
        assert body.mode == "rb"
        body.flush()

    def test_it_has_the_descriptor_of_its_connection(self, pair: Pair) -> None:
        with pair[0].makefile("rb") as reader:
            assert Body(reader, 5).fileno() == pair[0].fileno()

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [("tell", ()), ("seek", (0,)), ("truncate", ()), ("write", (b"",)), ("writelines", ([],)), ("detach", ())],
    )
    def test_what_it_cannot(self, body: Body, name: str, arguments: tuple[Any, ...]) -> None:
        with pytest.raises(io.UnsupportedOperation):
            getattr(body, name)(*arguments)

    @pytest.mark.parametrize(
        "name",
        ["read", "read1", "peek", "readline", "readlines", "readable", "writable", "seekable", "isatty", "flush"],
    )
    def test_closed_it_is_not_read(self, body: Body, name: str) -> None:
        with body as same:
            assert same is body
        assert body.closed
        with pytest.raises(ValueError, match="closed file"):
            getattr(body, name)()
        assert not body.reader.closed

    def test_closed_it_is_not_used_in_any_other_way(self, body: Body) -> None:
        body.close()
        with pytest.raises(ValueError, match="closed file"):
            body.readinto(bytearray(1))
        with pytest.raises(ValueError, match="closed file"):
            iter(body)
        with pytest.raises(ValueError, match="closed file"), body:
            pass
