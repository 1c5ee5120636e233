"""An encrypted connection that one thread reads while others write to it."""

from __future__ import annotations

import selectors
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["DuplexTLS"]

Result = TypeVar("Result")

_Selector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


class DuplexTLS:
    """Stands for an `ssl.SSLSocket` whose `recv` and `sendall` several threads call at a time.

    What is behind it, OpenSSL's connection, may be used by one at a time: they take turns, and none waits for its
    client while it has its turn. Until `restore` is called, the socket itself does not block.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self._turn = threading.Lock()
        self._timeout = connection.gettimeout()
        connection.settimeout(0)

    def settimeout(self, value: float | None) -> None:
        """Set how long a call may wait, in seconds; None: without end."""
        self._timeout = value

    def recv(self, size: int) -> bytes:
        """As that of a socket."""
        return self._do(self._connection.recv, size, self._deadline())

    def sendall(self, data: Any) -> None:
        """As that of a socket. If it raises, part of the data may have been sent."""
        deadline = self._deadline()
        with memoryview(data).cast("B") as rest:
            sent = 0
            while sent < len(rest):
                sent += self._do(self._connection.send, rest[sent:], deadline)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._connection.fileno()

    def restore(self) -> None:
        """Let the socket block again, as it did."""
        self._connection.settimeout(self._timeout)

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _do(self, call: Callable[[Any], Result], argument: Any, deadline: float | None) -> Result:
        while True:
            with self._turn:
                try:
                    return call(argument)
                except ssl.SSLWantReadError:
                    event = selectors.EVENT_READ
                except ssl.SSLWantWriteError:
                    event = selectors.EVENT_WRITE
            self._wait(event, deadline)

    def _wait(self, event: int, deadline: float | None) -> None:
        rest = None if deadline is None else deadline - time.monotonic()
        if rest is not None and rest <= 0:
            raise TimeoutError("timed out")
        with _Selector() as selector:
            selector.register(self._connection, event)
            selector.select(rest)
