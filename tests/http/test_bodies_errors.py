"""Bodies that are cut off, malformed or too long."""

from __future__ import annotations

import io
from unittest import mock

import pytest

from doorkeep.http.bodies import Body, BodyError, BodyTooLongError, RawBody
from doorkeep.http.head import IncompleteRequestError
from doorkeep.testing.faults import FaultySocket
from tests.connection.pairs import Pair
from tests.http.reading import Pieces
from tests.http.sample_bodies import CHUNKED, CONTENT, READS, body_of


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
