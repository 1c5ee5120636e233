"""The lingering close (RFC 9112 section 9.6): the last words of a server reach a client that is still sending.

The kernel resets a connection that is closed with bytes unread, and a client that is reset may never see its answer.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from doorkeep.connection.prologue import is_tls

__all__ = ["LINGER", "linger"]

# Seconds that a client has to notice.
LINGER = 2.0
_BLOCK = 1 << 16


def linger(connection: Any, seconds: float) -> None:
    """Send no more, and take what comes, until the client has ended too or so many seconds have passed.

    All that was to be sent must have been. An encrypted connection is of no other use afterwards than to be closed.
    """
    deadline = time.monotonic() + seconds
    # The client has gone; the program has closed the connection; or it is no socket.
    with suppress(OSError, ValueError, AttributeError):
        receive = _end_output(connection)
        while (rest := deadline - time.monotonic()) > 0:
            connection.settimeout(rest)
            if not receive(_BLOCK):
                return


def _end_output(connection: Any) -> Callable[[int], bytes]:
    """Tell the client that no more will come; return what receives its bytes."""
    if not is_tls(connection):
        connection.shutdown(socket.SHUT_WR)
        receive: Callable[[int], bytes] = connection.recv
        return receive
    from doorkeep.connection.tls import say_goodbye

    say_goodbye(connection)
    # Not the methods of an SSLSocket: one would end TLS, the other take what comes now for a violation of it.
    socket.socket.shutdown(connection, socket.SHUT_WR)
    receive = partial(socket.socket.recv, connection)
    when_readable = getattr(connection, "_when_readable", None)  # green connections have it
    return receive if when_readable is None else partial(when_readable, receive)
