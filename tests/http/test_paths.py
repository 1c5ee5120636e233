"""What is found at a path, and what is not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from doorkeep.http import paths
from doorkeep.http.paths import Found, entries, entries_within, find, find_within

Find = Callable[[Path, str], Found]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with files and links, beside a file that is none of its business."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("outside")
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "file").write_text("file")
    (root / "sub" / "file").write_text("sub")
    for link, target in {
        "to-file": "file",
        "to-sub": "sub",
        "sub/up": "../file",
        "sub/deep/around": "../../to-sub/../to-file",
        "sub/deep/absolute": str(root / "file"),
        "absolute": str(root / "sub" / "file"),
        "itself": str(root),
        "chain": "to-sub/up",
        "dot": "./sub/./file",
        "out": "../secret",
        "out-absolute": str(tmp_path / "secret"),
        "out-directory": "../outside",
        "neighbour": str(tmp_path / "root-like"),
        "sub/far-out": "../../secret",
        "out-and-in": "../root/file",
        "nowhere": "missing",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
    }.items():
        (root / link).symlink_to(target)
    (tmp_path / "root-like").write_text("like")
    return root


def follow(root: Path, path: str) -> Found:
    return find(str(root / path))


def within(root: Path, path: str) -> Found:
    return find_within(str(root), path)


both = pytest.mark.parametrize("look", [follow, within])


def text(found: Found) -> str:
    assert found.file is not None
    with found.file as file:
        return file.read().decode()


@both
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("file", "file"),
        ("sub/file", "sub"),
        ("to-file", "file"),
        ("to-sub/file", "sub"),
        ("sub/up", "file"),
        ("sub/deep/around", "file"),
        ("sub/deep/absolute", "file"),
        ("absolute", "sub"),
        ("itself/file", "file"),
        ("itself/sub/../file", "file"),
        ("chain", "file"),
        ("dot", "sub"),
    ],
)
def test_files(look: Find, path: str, content: str, tree: Path) -> None:
    assert text(look(tree, path)) == content


@both
@pytest.mark.parametrize("path", ["", ".", "sub", "to-sub", "sub/deep", "itself", "sub/deep/.."])
def test_directories(look: Find, path: str, tree: Path) -> None:
    assert look(tree, path).is_directory


@both
@pytest.mark.parametrize("path", ["missing", "file/x", "sub/missing/x", "nowhere", "loop", "ping", "x" * 300])
def test_what_is_not_there(look: Find, path: str, tree: Path) -> None:
    with pytest.raises(OSError, match=r"No such file|Not a directory|Too many levels|name too long"):
        look(tree, path)


@both
def test_a_zero_byte(look: Find, tree: Path) -> None:
    with pytest.raises(ValueError, match="null"):
        look(tree, "fi\0le")


OUT = ["out", "out-absolute", "out-directory/file", "neighbour", "sub/far-out", "out-and-in", "..", "../secret"]


@pytest.mark.parametrize("path", OUT)
def test_what_leads_out(path: str, tree: Path) -> None:
    with pytest.raises(OSError, match="Permission denied"):
        find_within(str(tree), path)


@pytest.mark.parametrize("path", OUT[:6])
def test_links_that_lead_out_may_be_followed(path: str, tree: Path) -> None:
    assert text(find(str(tree / path)))


def test_the_root_may_be_a_link_itself(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to("root")
    assert text(find_within(str(tmp_path / "linked"), "absolute")) == "sub"
    assert text(find_within("/", str(tree / "file"))) == "file"


@both
def test_what_is_no_regular_file(look: Find, tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        (tree / "null").symlink_to("/dev/null")
        for name in ("fifo", "socket", "null"):
            with pytest.raises(OSError, match=r"neither a regular file|Permission denied"):
                look(tree, name)


@both
def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(
    look: Find, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_and_open(path: str, flags: int, *arguments: object, dir_fd: int | None = None) -> int:
        if path.endswith("file"):
            os.unlink(path, dir_fd=dir_fd)
            os.mkfifo(path, dir_fd=dir_fd)
        return really_open(path, flags, dir_fd=dir_fd)

    really_open = os.open
    monkeypatch.setattr(os, "open", replace_and_open)
    with pytest.raises(OSError, match="neither a regular file"):
        look(tree, "file")


@both
def test_a_file_that_goes_between_stat_and_open(look: Find, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove_and_open(path: str, flags: int, *arguments: object, dir_fd: int | None = None) -> int:
        if path.endswith("file"):
            os.unlink(path, dir_fd=dir_fd)
        return really_open(path, flags, dir_fd=dir_fd)

    really_open = os.open
    monkeypatch.setattr(os, "open", remove_and_open)
    with pytest.raises(FileNotFoundError):
        look(tree, "file")


def test_links_that_are_exchanged_meanwhile_lead_nowhere(tree: Path) -> None:
    """Somebody makes `sub` now a directory and now a link out, while we look."""
    over = threading.Event()

    def exchange() -> None:
        while not over.is_set():
            (tree / "sub").rename(tree / "kept")
            (tree / "sub").symlink_to("../outside")
            (tree / "sub").unlink()
            (tree / "kept").rename(tree / "sub")

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    try:
        for _ in range(2000):
            try:
                found = find_within(str(tree), "sub/file")
            except OSError:
                continue
            assert text(found) == "sub"
    finally:
        over.set()
        exchanging.join()


def test_entries(tree: Path) -> None:
    found = {entry.name: entry for entry in entries(str(tree))}
    assert set(found) == set(os.listdir(tree))
    assert found["file"].status.st_size == 4
    assert not found["file"].is_link
    assert found["sub"].is_directory
    assert not found["sub"].is_link
    assert found["to-sub"].is_directory
    assert found["to-sub"].is_link
    assert found["out"].status.st_size == len("secret")
    assert found["nowhere"].is_link
    assert not found["nowhere"].is_directory


def test_entries_within(tree: Path) -> None:
    listed = {entry.name for entry in entries_within(str(tree), ".")}
    inside = {"to-file", "to-sub", "absolute", "itself", "chain", "dot"}
    assert listed == {"file", "sub"} | inside
    assert {entry.name for entry in entries_within(str(tree), "to-sub")} == {"file", "deep", "up"}
    with pytest.raises(OSError, match="Permission denied"):
        entries_within(str(tree), "out-directory")
    with pytest.raises(NotADirectoryError):
        entries_within(str(tree), "file")
    around = {entry.name: entry for entry in entries_within(str(tree), "sub/deep")}["around"]
    assert around.is_link
    assert around.status.st_size == 4


@pytest.mark.parametrize("list_entries", [entries, lambda path: entries_within(path, ".")])
def test_an_entry_that_goes_meanwhile(
    list_entries: Callable[[str], list[paths.Entry]], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        name = "gone"

        def is_symlink(self) -> bool:
            return False

        def stat(self) -> os.stat_result:
            raise FileNotFoundError

    class Scanned(list[Gone]):
        def __enter__(self) -> Scanned:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda path: Scanned([Gone()]))
    monkeypatch.setattr(os, "listdir", lambda path: ["gone"])
    assert list_entries(str(tree)) == []
