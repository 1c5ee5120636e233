"""Channels: a socket's descriptor that greenlets wait for, and the calls that wait."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from doorkeep.green.pure.waitable import Waitable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from doorkeep.green.pure.loop import Hub
    from doorkeep.green.pure.streams import Writer

__all__ = ["Channel"]

# Bound once: looking them up costs a good part of what the calls themselves do in Python.
_recv = _socket.socket.recv
_recv_into = _socket.socket.recv_into
_send = _socket.socket.send

_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
_DO_NOT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
_WAIT_FOR_ALL: int = socket.MSG_WAITALL

# In place of a socket that is no more: calls fail as on a closed one, which it is.
_CLOSED = _socket.socket.__new__(_socket.socket)


class Channel(Waitable):
    """A socket's descriptor, and the calls of it that matter for speed."""

    __slots__ = ("_socket", "collecting", "exposed", "sender")

    def __init__(self, hub: Hub, sock: Any, short_is_empty: bool = False) -> None:
        super().__init__(hub, sock, short_is_empty)
        self._socket = weakref.ref(sock)
        self.collecting: Writer | None = None  # of what is to leave before anything else
        self.exposed = False
        self.sender: greenlet | None = None  # whose turn to send it is until all of something has left

    # Whether a descriptor blocks is for all its duplicates, which others may have, to say: each call says it itself.

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As `socket.socket.recv`."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            self.spend()
        if flags and self._waits_for_all(flags):
            buffer = bytearray(size)
            return bytes(buffer[: self._fill(buffer, flags)])
        until = 0.0
        while True:
            if self.readable or flags or size == 0 or self.timeout == 0:
                try:
                    data = _recv(self._socket() or _CLOSED, size, flags | _DO_NOT_WAIT)
                except BlockingIOError:
                    self.readable = False
                    if flags & _DO_NOT_WAIT and self.timeout is None:
                        raise
                else:
                    if self._short_is_empty and len(data) < size and not flags:
                        self.readable = False
                    return data
            until = self._wait(False, until)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.socket.recv_into`."""
        self.spend()
        size = nbytes or memoryview(buffer).nbytes
        if flags and self._waits_for_all(flags):
            return self._fill(memoryview(buffer).cast("B")[:size], flags)
        until = 0.0
        while True:
            if self.readable or flags or size == 0 or self.timeout == 0:
                try:
                    length = _recv_into(self._socket() or _CLOSED, buffer, nbytes, flags | _DO_NOT_WAIT)
                except BlockingIOError:
                    self.readable = False
                    if flags & _DO_NOT_WAIT and self.timeout is None:
                        raise
                else:
                    if self._short_is_empty and length < size and not flags:
                        self.readable = False
                    return length
            until = self._wait(False, until)

    def _waits_for_all(self, flags: int) -> bool:
        """Return whether a call waits until its buffer is full, which the kernel does for blocking sockets only."""
        return (
            flags & (_WAIT_FOR_ALL | _DO_NOT_WAIT | socket.MSG_PEEK | socket.MSG_OOB) == _WAIT_FOR_ALL
            and self.timeout is None
            and (self._socket() or _CLOSED).getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        )

    def _fill(self, buffer: WriteableBuffer, flags: int) -> int:
        """Receive until the buffer is full or no more can come; return how many bytes there are."""
        view = memoryview(buffer)
        done = 0
        try:
            while done < len(view):
                length = self.recv_into(view[done:], 0, flags & ~_WAIT_FOR_ALL)
                if not length:
                    break
                done += length
        except OSError:
            if not done:
                raise
        return done

    def flush(self) -> None:
        """Send what a writer has collected, which comes before anything else that is sent; in the hub's thread.

        Not amid what the current greenlet keeps its turn for.
        """
        writer = self.collecting
        if writer is not None and self.hub.is_in_thread() and self.sender is not getcurrent():
            self.collecting = None
            writer.flush()

    def settle(self) -> None:
        """Send what the current greenlet's writer has collected; another's, as far as that takes no waiting.

        What sending it meets, the writer raises when it is next used.
        """
        writer = self.collecting
        if writer is not None and self.hub.is_in_thread():
            if writer in self.hub.unflushed:
                writer.send_collected()
            else:
                writer.send_now()

    def expose(self) -> None:
        """Let writers collect nothing from now on: the program knows the descriptor, and may write to it itself."""
        self.exposed = True
        self.settle()

    # What takes several calls to send keeps its turn: others that send on the same connection wait for its end.

    def take_turn(self, until: float = 0.0, flags: int = 0) -> float:
        """Wait until what comes before what is to be sent has left; return the moment that the call times out at.

        That is what a writer has collected, and the rest of what another greenlet sends. Raises as `wait_readable`.
        """
        if self.collecting is not None:
            self.flush()
        return self._wait_for_turn(flags, until)

    def keep_turn(self) -> bool:
        """Let no other greenlet send until `end_turn`; return False if there is none, or it cannot be had."""
        if self.sender is not None or not self.hub.is_in_thread():
            return False
        self.sender = getcurrent()
        return True

    def end_turn(self) -> None:
        """Let the others send again."""
        self.sender = None
        self._wake_writer()

    def _is_others_turn(self) -> bool:
        return self.sender is not None and self.hub.parks() and self.sender is not getcurrent()

    def _wait_for_turn(self, flags: int, until: float) -> float:
        while self._is_others_turn():
            if flags & _DO_NOT_WAIT and self.timeout is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            until = self._wait(True, until)
            if monotonic() >= until and self._is_others_turn():
                raise TimeoutError("timed out")
        return until

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """As `socket.socket.send`."""
        self.spend()
        return self._transmit(data, flags, 0)[0]

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """As `socket.socket.sendall`: `timeout` is for all of it."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            self.spend()
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        done, until = self._transmit(data, flags, 0)
        if done < size:
            with memoryview(data) as view, view.cast("B") as whole, whole[done:] as rest:
                self._transmit_rest(rest, flags, until)

    def _transmit(self, data: ReadableBuffer, flags: int, until: float) -> tuple[int, float]:
        if self.collecting is not None:
            self.flush()
        while True:
            if self.sender is not None:
                until = self._wait_for_turn(flags, until)
            length = self.send_now(data, flags)
            if length is not None:
                return length, until
            until = self._wait(True, until)

    def _transmit_rest(self, data: memoryview, flags: int, until: float) -> None:
        done = 0
        kept = self.keep_turn()
        try:
            while done < len(data):
                self.spend()
                length = self.send_now(data[done:], flags)
                if length is None:
                    until = self._wait(True, until)
                else:
                    done += length
        finally:
            if kept:
                self.end_turn()

    def send_now(self, data: ReadableBuffer, flags: int = 0) -> int | None:
        """Send what there is room for; return None if there is none."""
        if not (self.writable or flags or self.timeout == 0):
            return None
        try:
            return _send(self._socket() or _CLOSED, data, flags | _NO_SIGNAL | _DO_NOT_WAIT)
        except BlockingIOError:
            self.writable = False
            if flags & _DO_NOT_WAIT and self.timeout is None:
                raise
            return None
