"""What makes a file of an object: the answers that do not depend on what it reads or writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.file_interface import InputFile, OutputFile


class Lines(InputFile):
    """A file of two lines."""

    def __init__(self) -> None:
        self.closed = False
        self._lines = [b"one\n", b"two"]

    def close(self) -> None:
        self.closed = True

    def readline(self, size: int | None = -1, /) -> bytes:
        self._check_open()
        return self._lines.pop(0) if self._lines else b""


class Kept(OutputFile):
    """A file that keeps what is written."""

    def __init__(self) -> None:
        self.closed = False
        self.written: list[Any] = []

    def close(self) -> None:
        self.closed = True

    def write(self, data: Any, /) -> int:
        self.written.append(data)
        return len(data)


def test_lines_are_iterated() -> None:
    assert list(Lines()) == [b"one\n", b"two"]


def test_lines_are_written_one_by_one() -> None:
    kept = Kept()
    kept.writelines(iter([b"one", b"two"]))
    assert kept.written == [b"one", b"two"]


@pytest.mark.parametrize("file", [Lines(), Kept()])
def test_neither_has_a_position_or_is_a_terminal(file: InputFile | OutputFile) -> None:
    for call in (file.tell, lambda: file.seek(0), file.truncate, file.detach):
        with pytest.raises(io.UnsupportedOperation):
            call()
    assert not file.seekable()
    assert not file.isatty()


def test_each_goes_one_way() -> None:
    lines, kept = Lines(), Kept()
    assert (lines.readable(), lines.writable(), lines.mode) == (True, False, "rb")
    assert (kept.readable(), kept.writable(), kept.mode) == (False, True, "wb")
    refused: list[Callable[[], object]] = [lambda: lines.write(b""), lambda: lines.writelines([])]
    for call in (*refused, kept.read, kept.readline):
        with pytest.raises(io.UnsupportedOperation):
            call()


def test_a_block_closes_them() -> None:
    with Lines() as lines, Kept() as kept:
        lines.flush()
    assert lines.closed
    assert kept.closed


@pytest.mark.parametrize("name", ["readable", "writable", "seekable", "isatty", "flush", "__iter__", "__enter__"])
def test_what_is_closed_is_not_read(name: str) -> None:
    lines = Lines()
    lines.close()
    with pytest.raises(ValueError, match="closed file"):
        getattr(lines, name)()


def test_what_is_closed_may_be_written() -> None:
    kept = Kept()
    kept.close()
    with kept:
        kept.writelines([b"late"])
    assert kept.written == [b"late"]
