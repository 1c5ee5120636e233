"""Deadlines: closing the connections whose time is up.

One thread a server, started with the first connection that has a deadline, looks at each connection only when
its earliest deadline could have passed: nothing is armed or cancelled per call, and the kernel remembers when a
byte last went either way. A connection whose time is up is shut down, so that whatever its handler waits for
ends; the handler sees end of stream, or a broken pipe.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Annotated, Any

from doorkeep.connection.peers import idle_seconds_of
from doorkeep.connection.prologue import is_tls
from doorkeep.connection.registry import Connection
from doorkeep.events import DeadlinePassed
from doorkeep.settings import SECONDS, Setting

if TYPE_CHECKING:
    from doorkeep.server import BaseServer

__all__ = ["DeadlineSettings", "Deadlines", "cut", "end_input", "is_idle_timeout", "tell_passed"]

logger = logging.getLogger("doorkeep.deadlines")


class DeadlineSettings:
    """The settings of deadlines: seconds; None for no deadline; zero is refused."""

    handshake_timeout: Annotated[
        float | None,
        Setting(
            SECONDS,
            "how long a client may take from accept to its handler, the TLS handshake included",
            at_limit="the connection is cut",
            streams_only=True,
        ),
    ] = None
    idle_timeout: Annotated[
        float | None,
        Setting(
            SECONDS,
            "how long a connection may go without a byte either way; off Linux and for Unix sockets, how long one "
            "call may wait",
            at_limit="the connection is cut",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None
    request_timeout: Annotated[
        float | None,
        Setting(
            SECONDS,
            "how long a handler may keep its connection",
            at_limit="the connection is cut",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None

    @property
    def _has_deadlines(self) -> bool:
        """Whether any deadline is set."""
        return not (self.handshake_timeout is None and self.idle_timeout is None and self.request_timeout is None)


class Deadlines:
    """Watches the connections of a server.

    A handshake, an idle spell and a request each have their own deadline; whichever is first counts. A changed
    setting reaches a connection when it is next looked at, and those that come later at once.
    """

    # Going through the connections may take this share of a processor; the thread sleeps for the rest, but never so
    # long that a deadline is late by more than this.
    BUSY_SHARE = 0.05
    SHORTEST_SLEEP = 0.002
    LATEST = 0.2
    # Seconds until the next try when looking has failed, as it does while a setting is no number.
    AFTER_FAILURE = 1.0

    def __init__(self, server: BaseServer) -> None:
        self._server = weakref.ref(server)
        self._forget_thread()

    def _forget_thread(self) -> None:
        self._changed = threading.Condition()
        self._next_look = math.inf
        self._thread: threading.Thread | None = None

    def watch(self, connection: Connection) -> None:
        """Keep an eye on a connection, from now until it ends."""
        server = self._server()
        if server is None:
            return
        connection.due, _ = _first_deadline(server, connection, connection(), time.monotonic())
        if connection.due == math.inf:
            return
        with self._changed:
            if connection.due < self._next_look:
                self._next_look = connection.due
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorkeep deadlines", daemon=True)
                self._thread.start()

    def stop(self, wait: bool = True) -> None:
        """Stop watching and end the thread; `wait` until it has ended."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def restart_in_child(self, connection: Connection | None) -> None:
        """Watch one connection in a forked child, where no thread but the caller's lives on."""
        self._forget_thread()
        if connection is not None:
            self.watch(connection)

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._thread is not me:
                    return
                self._next_look = math.inf  # connections that come while we look are noted here
            began = time.thread_time()
            earliest = self._look_at_all()
            rest = (time.thread_time() - began) / self.BUSY_SHARE
            not_before = time.monotonic() + min(max(rest, self.SHORTEST_SLEEP), self.LATEST)
            with self._changed:
                self._next_look = min(self._next_look, earliest)
                if self._thread is me and self._next_look == math.inf:
                    self._thread = None  # the next connection to watch starts another thread
                while self._thread is me and (pause := max(self._next_look, not_before) - time.monotonic()) > 0:
                    self._changed.wait(min(pause, threading.TIMEOUT_MAX))

    def _look_at_all(self) -> float:
        """Cut the connections whose time is up; return the earliest moment at which another's could be."""
        server = self._server()
        if server is None:
            return math.inf
        now = time.monotonic()
        earliest = math.inf
        try:
            for connection in server._requests_in_progress:
                if connection.due <= now:
                    self._look_at(server, connection)
                earliest = min(earliest, connection.due)
        except Exception:
            logger.exception("deadlines cannot be watched")
            return now + self.AFTER_FAILURE
        return earliest

    def _look_at(self, server: BaseServer, connection: Connection) -> None:
        request = connection()
        now = time.monotonic()
        connection.due, setting = _first_deadline(server, connection, request, now)
        if connection.due > now:
            return
        connection.due = server._time_is_up(connection, request, setting)


def _first_deadline(server: BaseServer, connection: Connection, request: Any, now: float) -> tuple[float, str]:
    """Return the earliest moment at which a deadline of a connection passes, and its setting; infinity for none."""
    moments = [(math.inf, "")]
    if request is None:  # gone by itself
        return moments[0]
    if connection.ready is None and server.handshake_timeout:
        moments.append((connection.started + server.handshake_timeout, "handshake_timeout"))
    if server.request_timeout:
        began = now if connection.ready is None else connection.ready
        moments.append((began + server.request_timeout, "request_timeout"))
    if server.idle_timeout:
        idle = idle_seconds_of(request)
        if idle is not None:  # the time in the backlog does not count
            moments.append((now - min(idle, now - connection.started) + server.idle_timeout, "idle_timeout"))
    moments += server._further_deadlines(connection, request, now)
    return min(moments)


def is_idle_timeout(server: BaseServer, request: Any, error: BaseException) -> bool:
    """Return whether an exception says that `idle_timeout` has passed.

    So it does where the kernel does not tell for how long a connection is idle, and each call has that timeout.
    """
    return (
        isinstance(error, TimeoutError)
        and server.idle_timeout is not None
        and isinstance(request, socket.socket)
        and request.gettimeout() == server.idle_timeout
    )


def tell_passed(server: BaseServer, connection: Connection, setting: str) -> None:
    """Count and tell of a deadline that a connection has not met."""
    server._event_counts.add("expired", setting)
    if DeadlinePassed.listeners:
        seconds = time.monotonic() - connection.started
        DeadlinePassed(server, connection.client_address, setting, seconds).emit()


def end_input(request: Any) -> None:
    """Have a handler find the end of what it reads, after what has come, as if the client sent no more. It can answer.

    An encrypted connection is cut, unless its context bears such an end (`OP_IGNORE_UNEXPECTED_EOF`).
    """
    if is_tls(request) and not request.context.options & getattr(sys.modules["ssl"], "OP_IGNORE_UNEXPECTED_EOF", 0):
        cut(request)
        return
    with contextlib.suppress(OSError, TypeError):
        socket.socket.shutdown(request, socket.SHUT_RD)


def cut(request: Any) -> None:
    """End a connection under its handler: both directions, at once. The handler's thread still closes it."""
    with contextlib.suppress(OSError, TypeError):  # gone already; no socket, as a datagram
        # Not the method of an SSLSocket, which would take its TLS state away under the handler's feet.
        socket.socket.shutdown(request, socket.SHUT_RDWR)
