"""A server that many tests are unkind to, one after the other. It must not care."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.background import eventually
from tests.examples.file_transfer.service import Service
from tests.examples.programs import Program

KEPT = b"nobody has asked to change this"


@pytest.fixture(scope="package")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service") / "files"
    folder.mkdir()
    (folder.parent / "files-evil").mkdir()
    with Program("file_transfer/server.py", "--port", 0, "--folder", folder) as program:
        yield Service(program, folder)


@pytest.fixture
def service(running_service: Service) -> Iterator[Service]:
    """The server, with one file. Afterwards that is as it was, no partial one is left, and others are still served."""
    folder = running_service.folder
    empty(folder)
    (folder / "kept.txt").write_bytes(KEPT)
    around = surroundings(folder)
    with running_service.peer() as other:
        yield running_service
        assert other.ask(cmd="get", filename="kept.txt")[1] == KEPT
    # Whoever was cut short may have gone before the server has cleaned up.
    assert eventually(lambda: not any(path.name.startswith(".") for path in folder.iterdir()))
    assert surroundings(folder) == around


def surroundings(folder: Path) -> set[Path]:
    """Return what is beside a folder, and in what is beside it."""
    return {path for path in folder.parent.rglob("*") if not path.is_relative_to(folder)}


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
