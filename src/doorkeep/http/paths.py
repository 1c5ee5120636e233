"""Opening the files that requests name: nothing but regular files, without waiting, and by no link out of a directory.

What has `within` in its name holds against somebody who exchanges files, directories and links meanwhile, as each step
is taken from the open directory before it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Entry", "Found", "entries", "entries_within", "find", "find_within"]

# O_NONBLOCK: a FIFO that came in place of a file is not waited for. O_NOCTTY: nor does a terminal become ours.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
# O_PATH, where the system has it, needs no permission to read.
_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC
_ENTER = getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY

# As Linux itself allows in one path (path_resolution(7)).
_MOST_LINKS = 40


class Found(NamedTuple):
    """What is at a path: its status, and if it is a regular file, the file, open for reading."""

    status: os.stat_result
    file: FileIO | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory; else it is a regular file."""
        return self.file is None

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()


def find(path: str) -> Found:
    """Return the directory or the open regular file at a path.

    Raises `OSError` for what is not there, cannot be read, or is neither, and `ValueError` for a path with a null
    byte. A device, a socket or a FIFO is not opened to find out what it is.
    """
    return _opened(os.stat(path), path, _READ)


def find_within(root: str, path: str) -> Found:
    """Return what is at a path relative to the directory `root`, as `find` does, and never what is outside of it.

    Links within are followed, relative and absolute ones; `OSError` for one that leads out, and for a `..` that does.
    """
    with _Walk(root) as walk:
        status = walk.to(path)
        return _opened(status, walk.name, _READ | os.O_NOFOLLOW, walk.directory)


def _opened(status: os.stat_result, path: str, flags: int, directory: int | None = None) -> Found:
    if stat.S_ISDIR(status.st_mode):
        return Found(status)
    _check_regular(status)
    descriptor = os.open(path, flags, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        _check_regular(status)  # another may have come in its place
        return Found(status, FileIO(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "neither a regular file nor a directory")


class Entry(NamedTuple):
    """A name in a directory. `status` is that of a link's target, or its own if there is none."""

    name: str
    status: os.stat_result
    is_link: bool

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return stat.S_ISDIR(self.status.st_mode)


def entries(path: str) -> list[Entry]:
    """Return what is in a directory, in no order. Raises `OSError` if it cannot be read."""
    found = []
    with os.scandir(path) as scanned:
        for entry in scanned:
            is_link = entry.is_symlink()
            try:
                status = entry.stat()
            except OSError:
                if not is_link:
                    continue  # it has gone meanwhile
                status = entry.stat(follow_symlinks=False)
            found.append(Entry(entry.name, status, is_link))
    return found


def entries_within(root: str, path: str) -> list[Entry]:
    """Return what is in a directory as `entries` does, without the links that `find_within` would not follow."""
    found = []
    with _Walk(root) as walk:
        walk.to(path)
        directory = os.open(walk.name, os.O_RDONLY | _DIRECTORY | os.O_NOFOLLOW, dir_fd=walk.directory)
    try:
        for name in os.listdir(directory):
            with suppress(OSError):  # it has gone meanwhile, or is a link that leads out or nowhere
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                is_link = stat.S_ISLNK(status.st_mode)
                if is_link:
                    with _Walk(root) as walk:
                        status = walk.to(f"{path}/{name}")
                found.append(Entry(name, status, is_link))
    finally:
        os.close(directory)
    return found


class _Walk:
    """A walk down from a directory, in which each step is taken from the open directory before it.

    Where it has come to is `name` in `directory`, an open one that the walk closes at its end.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._entered = [os.open(root, _ENTER)]
        self._links = 0
        self.name = "."

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for directory in self._entered:
            os.close(directory)

    @property
    def directory(self) -> int:
        """The descriptor of the directory that has been come to."""
        return self._entered[-1]

    def to(self, path: str) -> os.stat_result:
        """Go along a path, and where its links lead; return the status of what is at its end."""
        pending = _steps(path)
        while pending:
            self.name = pending.pop()
            if self.name == "..":
                self._leave()
                continue
            status = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                pending += _steps(self._target())
            elif pending:
                self._entered.append(os.open(self.name, _ENTER | os.O_NOFOLLOW, dir_fd=self.directory))
            else:
                return status
        self.name = "."
        return os.stat(self.directory)

    def _leave(self) -> None:
        if len(self._entered) == 1:
            raise _refusal(errno.EACCES, self._root)
        os.close(self._entered.pop())

    def _target(self) -> str:
        """Return where the link that has been come to leads, seen from the directory that is come to then."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise _refusal(errno.ELOOP, self.name)
        target = os.readlink(self.name, dir_fd=self.directory)
        if not target.startswith("/"):
            return target
        for beginning in (self._root.rstrip("/"), os.path.realpath(self._root).rstrip("/")):
            if f"{target}/".startswith(f"{beginning}/"):
                while len(self._entered) > 1:
                    self._leave()
                return target[len(beginning) :]
        raise _refusal(errno.EACCES, target)


def _steps(path: str) -> list[str]:
    """Return the names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _refusal(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
