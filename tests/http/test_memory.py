"""Small files in memory: what is recalled, and when not."""

from __future__ import annotations

import os
import time
from pathlib import Path
from unittest import mock

import pytest

from doorkeep.http import memory
from doorkeep.http.conditions import validators_of
from doorkeep.http.memory import FileMemory
from doorkeep.http.representations import Answer, Representation


@pytest.fixture(autouse=True)
def kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the slowest of machines takes for a test."""
    monkeypatch.setattr(memory, "_KEPT", 600.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("content")
    return path


def answer_for(path: Path) -> Answer:
    status = path.stat()
    return Representation(validators_of(status, time.time()), status.st_size, "text/plain").answer("GET", {})


def kept(path: Path, size: int = 1 << 20, request: str = "/") -> FileMemory:
    remembered = FileMemory(size)
    remembered.keep(request, {str(path): path.stat()}, answer_for(path), path.read_bytes())
    return remembered


def test_recalls_what_was_kept(path: Path) -> None:
    remembered = kept(path)
    assert remembered.recall("/") == (answer_for(path), b"content")
    assert remembered.recall("/other") is None


def test_a_changed_file_is_not_recalled(path: Path) -> None:
    remembered = kept(path)
    os.utime(path, (0, 0))
    assert remembered.recall("/") is None


def test_a_replaced_file_is_not_recalled(path: Path, tmp_path: Path) -> None:
    remembered = kept(path)
    status = path.stat()
    other = tmp_path / "other"
    other.write_text("another")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert remembered.recall("/") is None


def test_a_file_that_has_gone_is_not_recalled(path: Path) -> None:
    remembered = kept(path)
    path.unlink()
    assert remembered.recall("/") is None


def test_each_file_that_an_answer_depends_on_is_looked_at(path: Path, tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_text("original")
    remembered = FileMemory()
    sources = {str(original): original.stat(), str(path): path.stat()}
    remembered.keep("/", sources, answer_for(path), b"content")
    assert remembered.recall("/") is not None
    os.utime(original, (0, 0))
    assert remembered.recall("/") is None


def test_after_a_while_it_is_looked_for_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = kept(path)
    later = time.monotonic() + 601
    monkeypatch.setattr(memory, "time", mock.Mock(monotonic=lambda: later))
    assert remembered.recall("/") is None


def test_takes_files_that_are_small_and_quiet(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = FileMemory()
    written = path.stat()
    moment = written.st_ctime
    monkeypatch.setattr(memory, "time", mock.Mock(time=lambda: moment))
    assert not remembered.takes(1, {"written": written})  # just now
    os.utime(path, (0, 0))  # which its content does not show
    assert not remembered.takes(1, {"written": path.stat()})
    moment += 600
    assert remembered.takes(1 << 16, {"written": written})
    assert not remembered.takes((1 << 16) + 1, {"written": written})
    older = mock.Mock(st_mtime=0, st_ctime=0)
    moment = written.st_ctime
    assert remembered.takes(1, {"older": older})
    assert not remembered.takes(1, {"written": written, "older": older})


def test_the_bound_holds_for_many_names_of_small_files(path: Path) -> None:
    remembered = kept(path, size=20_000)
    status, answer = path.stat(), answer_for(path)
    for number in range(100):
        remembered.keep(number, {str(path): status}, answer, b"content")
        assert remembered.recall(number) is not None
    assert sum(remembered.recall(number) is not None for number in range(100)) < 10


def test_what_is_kept_again_is_counted_once(path: Path) -> None:
    remembered = kept(path, size=20_000, request="/first")
    for _ in range(100):
        remembered.keep("/", {str(path): path.stat()}, answer_for(path), b"content")
    assert remembered.recall("/first") is not None
