"""A folder that files are put into whole, and that no name leads out of."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO

from protocol import Refusal, checked_name, copy_exactly

# Bytes of the disk that are kept free.
RESERVE = 64 * 2**20


class Folder:
    """The files of a folder; for any thread. Names are such as `checked_name` returns.

    The folder is held open: what becomes of its path later does not matter. Links in it are not followed.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def put(self, name: str, size: int, source: BinaryIO) -> None:
        """Store a file of `size` bytes from `source`, in the place of one that has its name.

        It appears once it is whole and on the disk; if it never gets there, what was there stays. Raises `Refusal`,
        before it reads anything, if there is no room or the name belongs to something other than a file, and
        `CutShort` if the source ends too soon.
        """
        with suppress(FileNotFoundError):
            _check_is_file(self._status(name))
        disk = os.fstatvfs(self._descriptor)
        if size > disk.f_bavail * disk.f_frsize - RESERVE:
            raise Refusal(507, "there is no room for so large a file")
        partial = f".{uuid.uuid4().hex}.partial"
        try:
            with open(partial, "xb", opener=self._open) as file:
                copy_exactly(source, file, size)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)
        finally:
            with suppress(FileNotFoundError):  # it was renamed
                os.unlink(partial, dir_fd=self._descriptor)

    @contextmanager
    def get(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open a file for reading, and tell its size. Raises `Refusal` if the name belongs to no file."""
        try:
            _check_is_file(self._status(name))
        except FileNotFoundError:
            raise Refusal(404, "there is no such file") from None
        with open(name, "rb", opener=self._open) as file:
            status = os.fstat(file.fileno())
            _check_is_file(status)
            yield file, status.st_size

    def names(self) -> list[str]:
        """Return the names of all files that `get` would open, in order."""
        return sorted(filter(self._is_visible, os.listdir(self._descriptor)))

    def _is_visible(self, name: str) -> bool:
        try:
            _check_is_file(self._status(checked_name(name)))
        except (Refusal, FileNotFoundError):
            return False
        return True

    def _status(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def _open(self, name: str, flags: int) -> int:
        # O_NONBLOCK: should a FIFO have taken the file's place since we looked, opening it is not to wait.
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666, dir_fd=self._descriptor)


def _check_is_file(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Refusal(409, "that is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise Refusal(403, "that is no regular file")
