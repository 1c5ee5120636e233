"""The content of files: whole and in pieces, and files that change while it is sent."""

from __future__ import annotations

import io
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http.content import FileContent, FileShrankError
from tests.background import Background

DATA = bytes(range(256)) * 4
LARGE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(30)
        theirs.settimeout(30)
        yield ours, theirs


def content_of(path: Path, *pieces: bytes | range) -> FileContent:
    return FileContent(io.FileIO(path), pieces)


def test_reads_like_a_file(path: Path) -> None:
    with content_of(path, range(10, 20), b"between", range(30, 32)) as content:
        expected = DATA[10:20] + b"between" + DATA[30:32]
        assert content.length == len(expected)
        assert content.read(4) == expected[:4]
        assert content.tell() == 4
        assert content.read(0) == b""
        assert content.read(10) == expected[4:14]
        assert content.read() == expected[14:]
        assert content.read() == content.read(5) == b""
        assert content.seek(0) == 0
        assert content.readall() == expected
        assert content.seek(-3, os.SEEK_END) == len(expected) - 3
        assert content.read(None) == expected[-3:]
        content.seek(2)
        assert content.seek(1, os.SEEK_CUR) == 3
        buffer = bytearray(100)
        assert content.readinto(buffer) == len(expected) - 3
        assert content.readable()
        assert content.seekable()
        assert os.fstat(content.fileno()).st_size == len(DATA)
    assert content.closed


def test_closes_the_file(path: Path) -> None:
    file = io.FileIO(path)
    FileContent(file, [range(5)]).close()
    assert file.closed


def test_lines(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    with content_of(tmp_path / "lines", range(8)) as content:
        assert list(content) == [b"one\n", b"two\n"]


@given(st.lists(st.one_of(st.binary(max_size=5), st.tuples(st.integers(0, 30), st.integers(0, 30))), max_size=5))
def test_any_pieces(pieces: list[bytes | tuple[int, int]]) -> None:
    data = bytes(range(30))
    given_pieces = [piece if isinstance(piece, bytes) else range(min(piece), max(piece)) for piece in pieces]
    expected = b"".join(p if isinstance(p, bytes) else data[p.start : p.stop] for p in given_pieces)
    descriptor = os.memfd_create("file")
    os.write(descriptor, data)
    with FileContent(io.FileIO(descriptor), given_pieces) as content:
        assert content.read() == expected
        content.seek(0)
        copied = io.BytesIO()
        shutil.copyfileobj(content, copied, 3)
        assert copied.getvalue() == expected
        content.seek(0)
        written = io.BytesIO()
        content.copy_to(written)
        assert written.getvalue() == expected


@pytest.mark.parametrize("by_sendfile", [True, False])
def test_large_pieces(by_sendfile: bool, tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    data = os.urandom(LARGE)
    (tmp_path / "large").write_bytes(data)
    with content_of(tmp_path / "large", b"<", range(1, LARGE), b">") as content, ours.makefile("wb") as writer:
        received = Background(lambda: theirs.makefile("rb").read(LARGE + 1))
        writer.write(b"")
        content.copy_to(writer, ours if by_sendfile else None)
        writer.flush()
        assert content.tell() == content.length
        assert received.result() == b"<" + data[1:] + b">"


def test_what_is_written_before_leaves_first(tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    (tmp_path / "large").write_bytes(bytes(LARGE))
    with content_of(tmp_path / "large", range(LARGE)) as content, ours.makefile("wb") as writer:
        received = Background(lambda: theirs.makefile("rb").read(LARGE + 4))
        writer.write(b"head")
        content.copy_to(writer, ours)
        assert received.result() == b"head" + bytes(LARGE)


def test_what_is_appended_meanwhile_is_left_out(path: Path) -> None:
    with content_of(path, range(len(DATA))) as content:
        with path.open("ab") as file:
            file.write(b"more")
        assert content.read() == DATA


def test_a_system_that_reads_less_than_it_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, offset: pread(file, min(size, 7), offset))
    with content_of(path, range(len(DATA))) as content:
        assert content.read() == DATA


def test_a_file_that_shrinks_is_not_read(path: Path) -> None:
    with content_of(path, range(len(DATA))) as content:
        assert content.read(100) == DATA[:100]
        os.truncate(path, 150)
        with pytest.raises(FileShrankError, match="became shorter"):
            content.read(100)


@pytest.mark.parametrize("by_sendfile", [True, False])
def test_a_file_that_shrinks_is_not_sent(
    by_sendfile: bool, tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    path = tmp_path / "large"
    path.write_bytes(bytes(LARGE))
    with content_of(path, range(LARGE)) as content, ours.makefile("wb") as writer:
        os.truncate(path, 100_000)
        received = Background(lambda: theirs.makefile("rb").read())
        with pytest.raises(FileShrankError):
            content.copy_to(writer, ours if by_sendfile else None)
        writer.close()
        ours.shutdown(socket.SHUT_WR)
        assert len(received.result()) <= 100_000
