"""What stands for `wfile` while a body is written: chunks, or nothing."""

from __future__ import annotations

import array
import io
from pathlib import Path

import pytest

from doorkeep.http.body_writers import BodyDropper, BodyWriter, ChunkedWriter


def test_each_write_is_a_chunk() -> None:
    wfile = io.BytesIO()
    writer = ChunkedWriter(wfile)
    assert [writer.write(data) for data in (b"hello", b"", memoryview(b"x" * 26))] == [5, 0, 26]
    writer.writelines([b"a", bytearray(b"b")])
    writer.end()
    assert wfile.getvalue() == b"5\r\nhello\r\n1a\r\n" + b"x" * 26 + b"\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
    assert writer.size == 33


def test_a_chunk_has_as_many_bytes_as_its_data() -> None:
    wfile = io.BytesIO()
    writer = ChunkedWriter(wfile)
    assert writer.write(array.array("H", [0x4141, 0x4242])) == 4
    assert wfile.getvalue() == b"4\r\nAABB\r\n"


def test_what_is_dropped_counts_for_its_writer_only() -> None:
    wfile = io.BytesIO()
    writer = BodyDropper(wfile)
    assert writer.write(b"hello") == 5
    writer.end()
    assert wfile.getvalue() == b""
    assert writer.size == 0


@pytest.mark.parametrize("kind", [ChunkedWriter, BodyDropper])
def test_it_is_a_file(kind: type[BodyWriter], tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as wfile:
        writer = kind(wfile)
        assert isinstance(writer, io.BufferedIOBase)
        assert writer.fileno() == wfile.fileno()
        assert writer.writable()
        assert not writer.readable()
        writer.write(b"hello")
        writer.close()  # which leaves the connection open, and sends what was written
        assert not writer.closed
        assert not wfile.closed
        assert (tmp_path / "file").read_bytes() == (b"5\r\nhello\r\n" if kind is ChunkedWriter else b"")
