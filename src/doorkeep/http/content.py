"""The content of an answer that comes from an open file: all of it, or parts with something in between."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["FileContent", "FileShrankError"]

# Up to so many bytes are read and written, which costs less than to have the kernel send them.
_SMALL = 1 << 16
_BLOCK = 1 << 18


class FileShrankError(OSError):
    """The file has become shorter than the content that was announced of it: the connection is of no more use."""


class FileContent(io.RawIOBase):
    """A file to read: pieces of an open file, each a range of its bytes, and bytes that stand between them.

    Owns the file. Its length is fixed: what is appended to the file meanwhile is left out, and when bytes are
    missing, reading and sending raise `FileShrankError`.
    """

    def __init__(self, file: io.FileIO, pieces: Sequence[bytes | range]) -> None:
        self._file = file
        self._pieces = pieces
        self._position = 0
        self.length = sum(map(len, pieces))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        super().close()
        self._file.close()

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.length}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes, all that are left if negative or None."""
        if self._position == 0 and len(self._pieces) == 1 and (size is None or not 0 <= size < self.length):
            return self._read_whole(self._pieces[0])
        found = []
        for piece in self._next_pieces(self.length if size is None or size < 0 else size):
            found.append(piece if isinstance(piece, bytes) else self._read_range(piece))
            self._position += len(piece)
        return found[0] if len(found) == 1 else b"".join(found)

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        with memoryview(buffer).cast("B") as view:
            data = self.read(len(view))
            view[: len(data)] = data
        return len(data)

    def copy_to(self, writer: Any, connection: Any = None) -> None:
        """Write what is left to a file; with `connection`, a socket behind that file, by its `sendfile`."""
        left = self.length - self._position
        if left <= _SMALL:
            writer.write(self.read())
            return
        for piece in self._next_pieces(left):
            if isinstance(piece, bytes) or connection is None:
                self._write(piece, writer)
            else:
                writer.flush()
                self._send(piece, connection)
            self._position += len(piece)

    def _next_pieces(self, size: int) -> Iterator[bytes | range]:
        """Give the pieces that follow, of so many bytes together; the last may be cut."""
        before = 0
        position = self._position
        end = min(position + size, self.length)
        for piece in self._pieces:
            cut = piece[max(0, position - before) : max(0, end - before)]
            if cut:
                yield cut
            before += len(piece)

    def _read_whole(self, piece: bytes | range) -> bytes:
        """Read the one piece that there is: what a small file comes to."""
        data = piece if isinstance(piece, bytes) else self._read_range(piece)
        self._position = self.length
        return data

    def _read_range(self, wanted: range) -> bytes:
        data = os.pread(self._file.fileno(), len(wanted), wanted.start)
        while len(data) < len(wanted):
            more = os.pread(self._file.fileno(), len(wanted) - len(data), wanted.start + len(data))
            if not more:
                raise FileShrankError("the file became shorter while it was sent")
            data += more
        return data

    def _write(self, piece: bytes | range, writer: Any) -> None:
        for start in range(0, len(piece), _BLOCK):
            block = piece[start : start + _BLOCK]
            writer.write(block if isinstance(block, bytes) else self._read_range(block))

    def _send(self, piece: range, connection: Any) -> None:
        if connection.sendfile(self._file, piece.start, len(piece)) < len(piece):
            raise FileShrankError("the file became shorter while it was sent")
