"""A request with no server and no socket: what a handler reads is given, what it writes is returned."""

from __future__ import annotations

import errno
import functools
import io
import os
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["converse"]


def converse(
    handler: Callable[..., Any],
    data: bytes,
    *,
    client_address: Any = ("127.0.0.1", 0),
    server: Any = None,
    datagram: bool | None = None,
) -> bytes:
    """Run a handler on `data`, in memory, and return what it wrote.

    The handler finds `data` on its connection and the end of the stream behind it; nothing ever waits. With
    `datagram` it finds one datagram, and its replies are returned one after the other; None looks whether the
    handler is a `DatagramRequestHandler`. `server` and `client_address` are handed to it as they are. Raises
    what the handler raises. Does not call a server's hooks, and has no descriptor to `select` on: for these,
    see `serving`.
    """
    if datagram is None:
        datagram = _takes_datagrams(handler)
    connection = _MemorySocket(b"" if datagram else data, client_address)
    handler((data, connection) if datagram else connection, client_address, server)
    return bytes(connection.written)


def _takes_datagrams(handler: Any) -> bool:
    while isinstance(handler, functools.partial):
        handler = handler.func
    # By name, as it may be the standard library's.
    return any(base.__name__ == "DatagramRequestHandler" for base in getattr(handler, "__mro__", ()))


class _MemorySocket:
    """Looks to a handler like a connected socket. `written` is what was sent, reading comes from `data`."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = 0

    def __init__(self, data: bytes, peer: Any) -> None:
        self.written = bytearray()
        self._unread = memoryview(data)
        self._peer = peer
        self._timeout: float | None = None
        self._closed = False
        self._writable = True

    # -- Reading ---------------------------------------------------------------------------------------------

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._check_open()
        return self._read(size, flags)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        self._check_open()
        return self._read_into(buffer, size, flags)

    def _read(self, size: int, flags: int) -> bytes:
        some = bytes(self._unread[:size])
        if not flags & socket.MSG_PEEK:
            self._unread = self._unread[len(some) :]
        return some

    def _read_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        with memoryview(buffer).cast("B") as view:
            some = self._read(size or len(view), flags)
            view[: len(some)] = some
        return len(some)

    # -- Writing ---------------------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        self._check_open()
        return self._write(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.send(data)

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        return self.send(data)

    def _write(self, data: Any) -> int:
        if not self._writable:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        with memoryview(data).cast("B") as view:
            self.written += view
            return len(view)

    # -- Both ------------------------------------------------------------------------------------------------

    def makefile(
        self,
        mode: str = "r",
        buffering: int | None = None,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> Any:
        self._check_open()
        reads, writes = "r" in mode or "w" not in mode, "w" in mode
        raw = _MemoryStream(self, reads, writes)
        if buffering == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        buffered: Any
        if reads and writes:
            buffered = io.BufferedRWPair(raw, raw, size)
        else:
            buffered = io.BufferedReader(raw, size) if reads else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def shutdown(self, how: int) -> None:
        self._check_open()
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._unread = self._unread[:0]
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._writable = False

    def close(self) -> None:
        """Refuse further calls. As with a socket, what `makefile` has returned still works."""
        self._closed = True

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a conversation in memory has no descriptor; doorkeep.testing.serving has one")

    def getpeername(self) -> Any:
        self._check_open()
        return self._peer

    def getsockname(self) -> Any:
        self._check_open()
        return ("127.0.0.1", 0)

    def gettimeout(self) -> float | None:
        return self._timeout

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        return bytes(size) if size else 0

    def setsockopt(self, level: int, option: int, value: Any, size: int = 0) -> None:
        """Change nothing: options mean nothing in memory."""

    def __enter__(self) -> _MemorySocket:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _MemoryStream(io.RawIOBase):
    """What `makefile` puts its buffers on."""

    def __init__(self, connection: _MemorySocket, reads: bool, writes: bool) -> None:
        self._connection = connection
        self._reads = reads
        self._writes = writes

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def readinto(self, buffer: Any) -> int:
        return self._connection._read_into(buffer)

    def write(self, data: Any) -> int:
        return self._connection._write(data)

    def fileno(self) -> int:
        return self._connection.fileno()
