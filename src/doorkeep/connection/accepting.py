"""What to do when accept fails, and when to accept at all."""

from __future__ import annotations

import contextlib
import enum
import errno
import functools
import os
import socket
import sys
import time

__all__ = ["AcceptErrorKind", "Backoff", "Waker", "accepted_sockets_inherit_blocking", "classify"]


class AcceptErrorKind(enum.Enum):
    """What a failed `get_request` says of the next one."""

    NOTHING = "nothing"
    ABORTED = "aborted"
    RESOURCES = "resources"
    CLOSED = "closed"
    ERROR = "error"


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


# Nobody was waiting after all: somebody else took the connection, or a signal came.
_NOTHING = _numbers("EAGAIN", "EWOULDBLOCK", "EINTR")
# Linux hands a new connection's pending network errors to accept; accept(2) says to treat them like EAGAIN.
# EPERM: a firewall forbids this connection. The connection is gone, the listener is well.
_ABORTED = _numbers(
    "ECONNABORTED", "ECONNRESET", "ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH",
    "EOPNOTSUPP", "ENETUNREACH", "ETIMEDOUT", "ECONNREFUSED", "EPERM",
)  # fmt: skip
_RESOURCES = _numbers("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")


def classify(error: Exception, listener_is_open: bool) -> AcceptErrorKind:
    """Return what an exception from `get_request` means. A time-out of the listener means that nothing came."""
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):  # its errno is of another table
        return AcceptErrorKind.ABORTED
    number = error.errno if isinstance(error, OSError) else None
    if number in _NOTHING or (number is None and isinstance(error, TimeoutError)):
        return AcceptErrorKind.NOTHING
    if not listener_is_open:
        return AcceptErrorKind.CLOSED
    if number in _ABORTED:
        return AcceptErrorKind.ABORTED
    if number in _RESOURCES or isinstance(error, MemoryError):
        return AcceptErrorKind.RESOURCES
    return AcceptErrorKind.ERROR


class Backoff:
    """When to try again after accept has failed, and a descriptor kept in reserve.

    The reserve is given up while accepting pauses, so that requests in progress, and the log that tells of it,
    find a descriptor to work with; accepting goes on when it can be had again.
    """

    FIRST = 0.005
    LONGEST = 1.0

    def __init__(self) -> None:
        self._reserve: int | None = None
        self._pause = 0.0
        self._until = 0.0

    @property
    def pausing(self) -> bool:
        """Whether accepting has failed and has not succeeded since."""
        return self._pause > 0

    def hold_reserve(self) -> bool:
        """Take the reserve descriptor; return whether it is held."""
        if self._reserve is None:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY)
        return self._reserve is not None

    def release_reserve(self) -> None:
        """Give the reserve descriptor up."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def failed(self) -> bool:
        """Note a failure that may repeat; return whether it is the first since accept last succeeded."""
        first = not self.pausing
        self._pause = min(self._pause * 2, self.LONGEST) or self.FIRST
        self._until = time.monotonic() + self._pause
        self.release_reserve()
        return first

    def succeeded(self) -> None:
        """Note that accept works again."""
        self._pause = self._until = 0.0

    def remaining(self) -> float:
        """Return the seconds until accept may be tried again: 0 when it may be now."""
        if not self.pausing:
            return 0.0
        left = self._until - time.monotonic()
        if left <= 0 and not self.hold_reserve():
            self._until = time.monotonic() + self._pause
            left = self._pause
        return max(left, 0.0)


class Waker:
    """Lets any thread, and any signal handler, end another thread's wait in a selector."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the descriptor readable; harmless at any time, also after `close`."""
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Make the descriptor wait again."""
        with contextlib.suppress(OSError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Free both descriptors."""
        self._reader.close()
        self._writer.close()


@functools.cache
def accepted_sockets_inherit_blocking() -> bool:
    """Return whether a socket accepted from a non-blocking listener is non-blocking too, as on the BSDs."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        os.set_blocking(listener.fileno(), False)
        accepted, _ = listener.accept()
        with accepted:
            return not os.get_blocking(accepted.fileno())
