"""Where bodies end, and how what is left of them is drained."""

from __future__ import annotations

from unittest import mock

from doorkeep.http.bodies import Body
from tests.http.sample_bodies import CHUNKED, CONTENT, body_of


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
