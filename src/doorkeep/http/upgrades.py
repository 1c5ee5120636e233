"""Requests after which the connection may be of another protocol (RFC 9110 section 7.8)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from doorkeep.file_interface import InputFile
from doorkeep.handlers import read_ahead

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["UpgradeReader"]


class UpgradeReader(InputFile):
    """Reads the connection behind a request that may upgrade it; `was_read` tells whether it has.

    Where the answer is no upgrade after all, what was read may have been the next request.
    """

    __slots__ = ("reader", "was_read")

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.was_read = False

    def _reading(self) -> Any:
        self.was_read = True
        return self.reader

    def read(self, size: int | None = -1, /) -> bytes:
        data: bytes = self._reading().read(size)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        data: bytes = self._reading().read1(size)
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        line: bytes = self._reading().readline(size)
        return line

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        lines: list[bytes] = self._reading().readlines(hint)
        return lines

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        length: int = self._reading().readinto(buffer)
        return length

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        length: int = self._reading().readinto1(buffer)
        return length

    def peek(self, size: int = 0, /) -> bytes:
        """Return what has come, which stays to be read; waits until something has."""
        data: bytes = self.reader.peek(size)
        return data

    def unread(self) -> bytes:
        """Return what was received and not read, and read no more."""
        return read_ahead(self._reading())

    def close(self) -> None:
        self.reader.close()

    @property
    def closed(self) -> bool:  # type: ignore[override]  # an attribute there, where it can be set
        return bool(self.reader.closed)

    @property
    def name(self) -> int:
        return self.fileno()

    def fileno(self) -> int:
        """Return the descriptor of the connection, which may be read by it."""
        number: int = self._reading().fileno()
        return number


io.BufferedIOBase.register(UpgradeReader)
