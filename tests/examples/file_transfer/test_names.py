"""Names that would lead out of the folder, or to something that is no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.examples.file_transfer.service import Service, frame, header, put

BAD_NAMES = [
    "../x",
    "/etc/x",
    "a/../../x",
    "a/x",
    "../files-evil/x",
    "..",
    ".",
    "",
    "x/",
    "/",
    "x\0",
    "\0",
    "x\n",
    "x\x1b[2J",
    "x\x7f",
    "x\x85",
    "..\\x",
    "x" * 256,
    "ä" * 128,
    "\ud800",
    None,
    7,
    ["x"],
]


@pytest.mark.parametrize("command", ["put", "get"])
@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:20])
def test_name_that_is_none(service: Service, command: str, name: Any) -> None:
    assert service.refuses(header(cmd=command, filename=name, filesize=0)) == 400


def test_no_name(service: Service) -> None:
    assert service.refuses(header(cmd="put", filesize=0)) == 400


@pytest.mark.parametrize(
    "name", ["%2e%2e", "%2e%2e%2fx", "x" * 255, "ü.txt", "-rf", "a b", "C:x", "<b>", "…", "\u202f"]
)
def test_name_that_is_one(service: Service, name: str) -> None:
    service.stores(put(name, b"content"))
    assert service.content(name) == b"content"


@pytest.mark.parametrize("name", [".partial", ".bashrc", "..."])
@pytest.mark.parametrize("command", ["put", "get"])
def test_hidden_name(service: Service, command: str, name: str) -> None:
    assert service.refuses(header(cmd=command, filename=name, filesize=0)) == 403


def test_name_is_escaped_in_the_log(service: Service) -> None:
    with service.peer() as peer:
        peer.send(put("\u202egnp.exe", b""))
        assert service.log_of(peer) == r"stored '\u202egnp.exe', 0 bytes"


@pytest.mark.parametrize("command", ["put", "get"])
def test_folder(service: Service, command: str) -> None:
    (service.folder / "folder").mkdir()
    assert service.refuses(header(cmd=command, filename="folder", filesize=0)) == 409
    assert (service.folder / "folder").is_dir()


@pytest.mark.parametrize("command", ["put", "get"])
def test_fifo_delays_nobody(service: Service, command: str) -> None:
    os.mkfifo(service.folder / "fifo")
    assert service.refuses(header(cmd=command, filename="fifo", filesize=0)) == 403
    assert (service.folder / "fifo").is_fifo()


@pytest.mark.parametrize("command", ["put", "get"])
@pytest.mark.parametrize("target", ["outside", "missing", "kept.txt", "link"])
def test_link_is_not_followed(service: Service, command: str, target: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    link = service.folder / "link"
    link.symlink_to(outside if target == "outside" else target)
    assert service.refuses(header(cmd=command, filename="link", filesize=3), *[b"new"] * (command == "put")) == 403
    assert link.is_symlink()
    assert outside.read_text() == "secret"


def test_link_as_parent(service: Service, tmp_path: Path) -> None:
    (service.folder / "link").symlink_to(tmp_path)
    assert service.refuses(header(cmd="put", filename="link/x", filesize=0)) == 400
    assert list(tmp_path.iterdir()) == []


def test_lists_files_only(service: Service, tmp_path: Path) -> None:
    (service.folder / "folder").mkdir()
    (service.folder / ".hidden").touch()
    (service.folder / "link").symlink_to(service.folder / "kept.txt")
    os.mkfifo(service.folder / "fifo")
    (service.folder / "two\nlines").touch()
    Path(os.fsdecode(os.fsencode(service.folder) + b"/\xff")).touch()
    service.stores(put("ü", b""))
    with service.peer() as peer:
        answer, names = peer.ask(cmd="ls")
    assert answer == {"status": 200, "filesize": len(names)}
    assert names.decode() == "kept.txt\nü\n"
    (service.folder / ".hidden").unlink()


def test_missing_file(service: Service) -> None:
    assert service.refuses(header(cmd="get", filename="missing")) == 404


def test_escapes_of_json_are_judged_by_what_they_mean(service: Service) -> None:
    assert service.refuses(frame(rb'{"cmd": "put", "filename": "\u002e\u002e\u002fx", "filesize": 0}')) == 400
