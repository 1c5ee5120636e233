"""Bodies of requests, beyond what the vectors say."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import pytest

from doorkeep.http.bodies import Body, BodyError, BodyTooLongError, RawBody
from doorkeep.http.head import IncompleteRequestError
from doorkeep.testing.faults import FaultySocket
from tests.background import Background
from tests.http.reading import Pieces, one_by_one, split_at

Pair = tuple[socket.socket, socket.socket]

CHUNKED = b"3\r\na\nb\r\n4;x=y\r\nc\nd\n\r\n1\r\ne\r\n0\r\nA: b\r\n\r\n"
CONTENT = b"a\nbc\nd\ne"


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


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two sockets that are connected."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(params=["of a length", "chunked"])
def body(request: pytest.FixtureRequest) -> Body:
    """A body with the content `CONTENT`."""
    if request.param == "chunked":
        return body_of(CHUNKED)
    return body_of(CONTENT, len(CONTENT))


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


class TestTheEnd:
    def test_is_known_without_a_read(self) -> None:
        assert body_of(b"", 0).finished
        assert not body_of(b"a", 1).finished
        assert not body_of(b"0\r\n\r\n").finished

    def test_of_a_length_comes_with_its_last_byte(self) -> None:
        body = body_of(b"ab", 2)
        body.read(1)
        assert not body.finished
        body.read(1)
        assert body.finished

    def test_of_chunks_comes_with_the_last_chunk(self) -> None:
        body = body_of(CHUNKED)
        body.read(len(CONTENT))
        assert not body.finished
        assert body.read(1) == b""
        assert body.finished

    def test_trailers_are_there_then(self) -> None:
        body = body_of(CHUNKED)
        assert body.trailers == []
        body.read()
        assert body.trailers == [("A", "b")]


class TestWhatIsWrong:
    """An error is raised by the read that meets it, and by all that follow; the connection is not used again."""

    @pytest.mark.parametrize("read", READS)
    @pytest.mark.parametrize("data", [b"ab", b"2\r\nab\r\n", b"2\r\nab\r\n0\r\n", b"2\r\nab\r\n0\r\nA"])
    def test_the_connection_ends(self, data: bytes, read: str) -> None:
        body = Body(io.BufferedReader(Pieces([data])), 3 if data == b"ab" else None)
        with pytest.raises(ConnectionError, match="hung up") as caught:
            READS[read](body)
        assert isinstance(caught.value, IncompleteRequestError)
        with pytest.raises(IncompleteRequestError):
            body.read(1)
        assert not body.finished
        assert not body.drain(100)

    @pytest.mark.parametrize("data", [b"", b"1\r\n", b"1\r\na\r\n"])
    def test_the_connection_ends_while_it_is_drained(self, data: bytes) -> None:
        assert not Body(io.BytesIO(data), None if data else 1).drain(100)

    @pytest.mark.parametrize(
        ("data", "status", "reason"),
        [
            (b"x\r\n\r\n", 400, "Bad chunk size"),
            (b"8000000000000000\r\n", 400, "Bad chunk size"),
            (b"1\r\na\n0\r\n\r\n", 400, "Bad chunk"),
            (b"0;" + b"a" * 4096 + b"\r\n\r\n", 400, "Bad chunk size"),
            (b"1;aaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n" * 2000, 400, "Chunk lines too long"),
            (b"000000000000000000000001\r\na\r\n" * 2000, 400, "Chunk lines too long"),
            (b"1\r\na\r\n" * 1000 + (b"1;" + b"a" * 4000 + b"\r\na\r\n") * 3, 400, "Chunk lines too long"),
            (b"0\r\nA: b\n\r\n", 400, "Bad trailer"),
            (b"0\r\nA\r\n\r\n", 400, "Bad header (Invalid header token)"),
            (b"0\r\n" + b"A: b\r\n" * 101, 431, "Too many trailers"),
            (b"0\r\nA: " + b"b" * 16384, 431, "Too many trailers"),
        ],
    )
    def test_it_is_malformed(self, data: bytes, status: int, reason: str) -> None:
        body = body_of(data)
        for _ in range(2):
            with pytest.raises(BodyError) as caught:
                while body.read(100):
                    pass
            assert (caught.value.status, caught.value.reason) == (status, reason)
        assert not body.finished
        assert not body.drain(1 << 20)
        assert not body_of(data).drain(1 << 20)

    @pytest.mark.parametrize("line", [b"9;aaaaaaaaaaaaaaaaaaaaaaa", b"9", b"0000000000000009;aaaaaaaa"])
    def test_extensions_may_be_as_long_as_the_content(self, line: bytes) -> None:
        assert len(body_of((line + b"\r\n123456789\r\n") * 2000 + b"0\r\n\r\n").read()) == 18000

    def test_a_failure_in_the_framing_may_pass(self) -> None:
        """A read that is broken off leaves no part of a line behind, if the reader does not."""
        reader = mock.Mock()
        lines = [b"0\r\n", TimeoutError(), b"A: b\r\n", TimeoutError(), b"\r\n"]
        reader.readline.side_effect = lines
        body = Body(reader, None)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                body.read()
        assert body.read() == b""
        assert body.trailers == [("A", "b")]

    def test_a_failure_between_chunks_may_pass(self) -> None:
        reader = mock.Mock()
        reader.read.return_value = b"a"
        reader.readline.side_effect = [b"1\r\n", TimeoutError(), b"\r\n", TimeoutError(), b"1\r\n"]
        body = Body(reader, None)
        assert body.read(1) == b"a"
        for _ in range(2):
            with pytest.raises(TimeoutError):
                body.read(1)
        assert body.read(1) == b"a"

    def test_the_connection_fails(self, pair: Pair) -> None:
        with FaultySocket(pair[0], recv_into=[ConnectionResetError()]) as broken, broken.makefile("rb") as reader:
            body = Body(reader, 5)
            with pytest.raises(ConnectionResetError):
                body.read()
            assert not body.finished


class TestTooLong:
    """A chunked body is refused as soon as a chunk is announced that makes it too long."""

    @pytest.mark.parametrize("longest", [len(CONTENT), len(CONTENT) + 1, None])
    def test_what_is_allowed_is_read(self, longest: int | None) -> None:
        assert body_of(CHUNKED, longest=longest).read() == CONTENT
        assert body_of(b"0\r\n\r\n", longest=0).read() == b""

    @pytest.mark.parametrize("read", READS)
    def test_nothing_is_read_of_the_chunk_that_is_too_much(self, read: str) -> None:
        body = body_of(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", longest=3)
        for _ in range(2):
            with pytest.raises(BodyTooLongError):
                READS[read](body)
        assert isinstance(body.error, BodyError)
        assert (body.error.status, body.error.reason) == (413, "Content Too Large")
        assert body.reader.read(2) == b"cd"

    def test_it_is_not_drained(self) -> None:
        body = body_of(CHUNKED, longest=len(CONTENT) - 1)
        assert not body.drain(1000)
        assert isinstance(body.error, BodyTooLongError)

    def test_the_framing_does_not_count(self) -> None:
        body = RawBody(io.BytesIO(CHUNKED), longest=len(CONTENT))
        assert body.read() == CHUNKED
        assert not RawBody(io.BytesIO(CHUNKED), longest=len(CONTENT) - 1).drain(1000)


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


class TestDraining:
    def test_what_is_left(self, body: Body) -> None:
        body.read(2)
        assert body.drain(len(CONTENT) - 2)
        assert body.finished
        assert body.read() == b""
        assert body.reader.read() == b"NEXT"

    def test_nothing(self) -> None:
        assert body_of(b"", 0).drain(0)
        assert body_of(b"0\r\n\r\n").drain(0)

    def test_too_much(self, body: Body) -> None:
        assert not body.drain(len(CONTENT) - 1)
        assert not body.finished

    def test_nothing_is_read_of_a_length_that_is_too_much(self) -> None:
        reader = mock.Mock(spec=[])
        assert not Body(reader, 100).drain(99)

    def test_much(self) -> None:
        assert body_of(bytes(1_000_000), 1_000_000).drain(1_000_000)

    def test_after_it_was_closed(self, body: Body) -> None:
        body.close()
        assert body.drain(100)

    def test_what_was_never_asked_for_is_not_waited_for(self) -> None:
        called: list[str] = []
        body = Body(mock.Mock(spec=[]), 5, lambda: called.append("read"))
        assert not body.drain(100)
        assert called == []
        assert Body(mock.Mock(spec=[]), 0, lambda: called.append("read")).drain(0)


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
