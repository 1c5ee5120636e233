"""What stands for `wfile` while the body of a response is written that cannot go out as it is."""

from __future__ import annotations

import io
from typing import Any

from doorkeep.file_interface import OutputFile

__all__ = ["BodyDropper", "BodyWriter", "ChunkedWriter"]


class BodyWriter(OutputFile):
    """Stands for `wfile` while a body is written that cannot go out as it is; `size` is how much of it went out."""

    closed = False
    size = 0

    def __init__(self, wfile: Any) -> None:
        self.wfile = wfile

    def end(self) -> None:
        """End the body."""

    def flush(self) -> None:
        self.wfile.flush()

    def close(self) -> None:
        self.flush()

    def fileno(self) -> int:
        number: int = self.wfile.fileno()
        return number


io.BufferedIOBase.register(BodyWriter)


class ChunkedWriter(BodyWriter):
    """Sends each write as a chunk (RFC 9112 section 7.1)."""

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        if size:  # a chunk of no bytes would be the last
            self.size += size
            self.wfile.write(b"".join((b"%x\r\n" % size, data, b"\r\n")))
        return size

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


class BodyDropper(BodyWriter):
    """Drops what is written: the response has no body (RFC 9110 section 6.4.1)."""

    def write(self, data: Any, /) -> int:
        return memoryview(data).nbytes
