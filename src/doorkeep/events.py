"""What happens in servers, told to whoever listens.

    unsubscribe = subscribe(print, ConnectionStarted, ConnectionStopped)

A listener is called with the event, in the thread where it happened, before that thread goes on: it should be
quick. Where nobody listens, no event is made. A listener that raises is reported through `logging` and stays.
In a forking server what happens in a child is told in the child.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from doorkeep.server import BaseServer

__all__ = [
    "AcceptFailed",
    "BodyTooLong",
    "CertificateReloadFailed",
    "CertificateReloaded",
    "ConnectionReady",
    "ConnectionStarted",
    "ConnectionStopped",
    "DatagramTruncated",
    "DeadlinePassed",
    "Event",
    "HandshakeFailed",
    "HubBlocked",
    "ListenerResumed",
    "ListenerSuspended",
    "RateLimitFailed",
    "RequestFailed",
    "RequestRefused",
    "ServerDrained",
    "ServerStarted",
    "ServerStopped",
    "subscribe",
]

logger = logging.getLogger("doorkeep.events")


@dataclass(frozen=True)
class Event:
    """The base of all events. `server` is the server that it happened in."""

    listeners: ClassVar[tuple[Callable[[Any], object], ...]] = ()

    server: BaseServer

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.listeners = ()

    def emit(self) -> None:
        """Call each listener of this kind of event, in the order in which they subscribed."""
        for listener in self.listeners:
            try:
                listener(self)
            except Exception:
                logger.exception("a listener of %s failed", type(self).__name__)


_subscribing = threading.Lock()


def subscribe(listener: Callable[[Any], object], *kinds: type[Event]) -> Callable[[], None]:
    """Call `listener` with every event of these kinds, or of all kinds when none is named.

    Returns a function that ends this subscription; calling it again does nothing. A listener that has subscribed
    twice is called twice.
    """
    chosen = set(Event.__subclasses__() if not kinds or Event in kinds else kinds)
    with _subscribing:
        for kind in chosen:
            kind.listeners = (*kind.listeners, listener)

    def unsubscribe() -> None:
        with _subscribing:
            while chosen:
                kind = chosen.pop()
                left = list(kind.listeners)
                left.remove(listener)
                kind.listeners = tuple(left)

    return unsubscribe


@dataclass(frozen=True)
class ServerStarted(Event):
    """`serve_forever` has begun."""


@dataclass(frozen=True)
class ServerStopped(Event):
    """`serve_forever` has ended."""


@dataclass(frozen=True)
class ServerDrained(Event):
    """`drain` has ended; `closed` requests had to be closed."""

    closed: int


@dataclass(frozen=True)
class ListenerSuspended(Event):
    """The server has stopped accepting: `reason` is "suspended", "limit", "resources" or "error"."""

    reason: str


@dataclass(frozen=True)
class ListenerResumed(Event):
    """The server accepts again."""


@dataclass(frozen=True)
class AcceptFailed(Event):
    """`get_request` failed with `error`; `kind` is "aborted", "resources" or "error"."""

    kind: str
    error: Exception


@dataclass(frozen=True)
class RequestRefused(Event):
    """A request was not let in: `reason` is "denied", "limit", "host limit", "rate" or "verify"."""

    client_address: Any
    reason: str


@dataclass(frozen=True)
class ConnectionStarted(Event):
    """A connection was let in."""

    client_address: Any


@dataclass(frozen=True)
class ConnectionReady(Event):
    """The prologue is over and the handler begins, `seconds` after the connection was let in."""

    client_address: Any
    seconds: float


@dataclass(frozen=True)
class ConnectionStopped(Event):
    """A connection has ended.

    `seconds` is its whole life. `received` and `sent` are bytes, TLS included, and `round_trip_time` is the
    kernel's smoothed estimate in seconds; each is None where the kernel does not tell.
    """

    client_address: Any
    seconds: float
    received: int | None
    sent: int | None
    round_trip_time: float | None


@dataclass(frozen=True)
class HandshakeFailed(Event):
    """The TLS handshake failed with `error`; the handler was not called."""

    client_address: Any
    error: Exception


@dataclass(frozen=True)
class RequestFailed(Event):
    """A handler, or a step around it, raised `error`."""

    client_address: Any
    error: BaseException


@dataclass(frozen=True)
class DeadlinePassed(Event):
    """A connection was closed by "handshake_timeout", "idle_timeout" or "request_timeout", named by `setting`."""

    client_address: Any
    setting: str
    seconds: float


@dataclass(frozen=True)
class BodyTooLong(Event):
    """The body of an HTTP request was longer than `max_body_size`, which is `allowed` bytes, and was not read."""

    client_address: Any
    allowed: int


@dataclass(frozen=True)
class DatagramTruncated(Event):
    """A datagram was longer than `max_packet_size`; its handler saw the first `size` bytes."""

    client_address: Any
    size: int


@dataclass(frozen=True)
class HubBlocked(Event):
    """A handler has held the hub of a green server for `seconds`, more than `blocked_after`, and still does.

    `place` is where, file, line and function, `stack` the same as a traceback shows it. Told once for each time, in a
    thread of its own. `client_address` is None where no handler of the server's holds it, but a hook or a task.
    """

    client_address: Any
    seconds: float
    place: str
    stack: str


@dataclass(frozen=True)
class CertificateReloaded(Event):
    """The files of the certificate had changed and were read again."""

    path: str


@dataclass(frozen=True)
class CertificateReloadFailed(Event):
    """The files of the certificate had changed and could not be used; the certificate before them stays."""

    path: str
    error: Exception


@dataclass(frozen=True)
class RateLimitFailed(Event):
    """The rate store did not answer; this process counted for itself instead."""

    error: Exception
