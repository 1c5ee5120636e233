"""What makes a file of an object that reads from a connection or writes to it: the answers that are always the same.

Such files count as `io.BufferedIOBase` where their modules register them. They do not inherit from it, as its
destructor would close them, and a connection is not closed by dropping one of its files.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer

__all__ = ["InputFile", "OutputFile"]


class _ConnectionFile:
    """A file that has no position."""

    __slots__ = ()

    if TYPE_CHECKING:
        closed: bool

        def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def tell(self) -> NoReturn:
        raise io.UnsupportedOperation("a connection has no position")

    def seek(self, offset: int, whence: int = 0, /) -> NoReturn:
        raise io.UnsupportedOperation("a connection has no position")

    def truncate(self, size: int | None = None, /) -> NoReturn:
        raise io.UnsupportedOperation("a connection has no position")

    def detach(self) -> NoReturn:
        raise io.UnsupportedOperation("there is no raw stream below")


class InputFile(_ConnectionFile):
    """A file to read from. A subclass has `closed`, `close`, `readline` and the other ways to read.

    Once it is closed, every call but those that are never possible raises `ValueError`.
    """

    __slots__ = ()

    mode = "rb"

    if TYPE_CHECKING:

        def readline(self, size: int | None = -1, /) -> bytes: ...

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def __iter__(self) -> Iterator[bytes]:
        self._check_open()
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def readable(self) -> bool:
        self._check_open()
        return True

    def writable(self) -> bool:
        self._check_open()
        return False

    def seekable(self) -> bool:
        self._check_open()
        return False

    def isatty(self) -> bool:
        self._check_open()
        return False

    def flush(self) -> None:
        """Do nothing: there is nothing to be written."""
        self._check_open()

    def write(self, data: ReadableBuffer, /) -> NoReturn:
        raise io.UnsupportedOperation("not writable")

    def writelines(self, lines: Iterable[ReadableBuffer], /) -> NoReturn:
        raise io.UnsupportedOperation("not writable")


class OutputFile(_ConnectionFile):
    """A file to write to. A subclass has `closed`, `close`, `write` and `flush`.

    That it is closed keeps nobody from using it, as with `wfile` of `socketserver`.
    """

    __slots__ = ()

    mode = "wb"

    if TYPE_CHECKING:

        def write(self, data: ReadableBuffer, /) -> int: ...

    def writelines(self, lines: Iterable[ReadableBuffer], /) -> None:
        for line in lines:
            self.write(line)

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def isatty(self) -> bool:
        return False

    def read(self, size: int | None = -1, /) -> NoReturn:
        raise io.UnsupportedOperation("not readable")

    def readline(self, size: int | None = -1, /) -> NoReturn:
        raise io.UnsupportedOperation("not readable")
