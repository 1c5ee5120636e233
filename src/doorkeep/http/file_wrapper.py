"""What WSGI applications answer files with: `wsgi.file_wrapper` (PEP 3333)."""

from __future__ import annotations

import io
import os
import stat
from typing import Any

from doorkeep.http.content import FileContent

__all__ = ["FileWrapper"]


class FileWrapper:
    """A file to be sent from its position on, by the kernel where it can.

    For whoever reads it otherwise, as middleware does, it yields blocks of at most `block_size` bytes.
    """

    def __init__(self, file: Any, block_size: int = 1 << 16) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> Any:
        block = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def content(self, length: int | None) -> FileContent | None:
        """Return `length` bytes of the file, or all that follow if that is None, to be closed by whom gets them.

        None if it is no regular file of the system's, or if it has fewer.
        """
        # What has a descriptor need not show what is in it: a compressed file shows something else.
        if not isinstance(getattr(self.file, "raw", self.file), io.FileIO):
            return None
        descriptor = self.file.fileno()
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        begin = self.file.tell()
        there_are = max(status.st_size - begin, 0)
        if length is not None and length > there_are:
            return None
        # A descriptor of its own, as `FileContent` closes it.
        pieces = [range(begin, begin + (there_are if length is None else length))]
        return FileContent(io.FileIO(os.dup(descriptor)), pieces)
