"""Taking requests in: when a server may accept, how many at a time, and what to do when that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from doorkeep import events
from doorkeep.addresses import host_of
from doorkeep.connection.accepting import AcceptErrorKind, Backoff, classify
from doorkeep.connection.admission import AdmissionSettings, refusal
from doorkeep.connection.deadlines import DeadlineSettings, cut
from doorkeep.connection.rates import RateLimiter
from doorkeep.connection.registry import Connections, method_of
from doorkeep.connection.watch import ListenerWatch
from doorkeep.statistics import Counters

if TYPE_CHECKING:
    from doorkeep.connection.registry import Connection
    from doorkeep.server import BaseServer

__all__ = ["Acceptor"]

logger = logging.getLogger("doorkeep.server")


class Acceptor(AdmissionSettings, DeadlineSettings):
    """The part of a server between its listener and `process_request`.

    Counts in `counters` and notes in `connections` what it lets in.
    """

    # How many requests one turn of the loop takes at the most.
    _BATCH: ClassVar[int] = 64
    # Whether there is never more than one request, in the accepting thread, and nobody to ask for it.
    _one_by_one = False

    def __init__(self) -> None:
        self._watch: ListenerWatch | None = None
        self._suspended = False
        self._closed = False
        self._batched: Any = None
        self._room = threading.Lock()
        self._room.acquire()
        self._room_is_awaited = False
        self._nothing_waiting = False
        self._aborted = 0
        self._backoff = Backoff()
        self._pause_kind = ""
        self._event_counts = Counters()
        self._rate_limiter = RateLimiter()
        self._requests_in_progress = Connections(method_of(self, "_request_ended"), self._make_condition())

    if TYPE_CHECKING:  # what it calls of the server that it is a part of
        socket: Any

        def fileno(self) -> int: ...
        def get_request(self) -> tuple[Any, Any]: ...
        def verify_request(self, request: Any, client_address: Any) -> bool: ...
        def process_request(self, request: Any, client_address: Any) -> None: ...
        def shutdown_request(self, request: Any) -> None: ...
        def _request_failed(self, request: Any, client_address: Any) -> None: ...
        def _end_request(self, request: Any, client_address: Any) -> None: ...
        def _count_active(self) -> int: ...
        def _is_ending(self) -> bool: ...
        def _watch_deadlines(self, connection: Connection) -> None: ...

    def _make_condition(self) -> threading.Condition:
        """Return what those wait with that wait for requests to end."""
        return threading.Condition()

    @property
    def _itself(self) -> BaseServer:
        """The server that this is a part of: itself, as type checkers need to be told."""
        return cast("BaseServer", self)

    # -- For any thread ------------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Stop accepting; clients wait in the kernel's backlog. Requests in progress go on."""
        self._suspended = True
        self._wake()

    def resume(self) -> None:
        """Accept again after `suspend`."""
        self._suspended = False
        self._wake()

    def _wake(self) -> None:
        """End the loop's wait, so that it sees what has changed."""
        watch = self._watch
        if watch is not None:
            watch.wake()
        self._tell_of_room()

    def _made_room(self) -> None:
        """Tell the loop that it may take a request more."""
        watch = self._watch
        waits = watch is not None and watch.waits_for_room
        # To be woken for nothing would cost the loop more than asking costs us.
        if not (waits or self._room_is_awaited) or self._is_full():
            return
        self._tell_of_room()
        if waits and watch is not None:
            watch.wake()

    def _tell_of_room(self) -> None:
        if self._room_is_awaited:
            with suppress(RuntimeError):  # somebody else has just told
                self._room.release()

    # -- In the accepting thread ---------------------------------------------------------------------------------

    def _handle_request_noblock(self) -> None:
        """Take one request in and process it; waits for one if none is there and the listener blocks."""
        if self._is_full():
            self._wait_for_room()
        self._take_request()

    def _handle_waiting_requests(self, until: float) -> None:
        """Take requests in until none waits, the turn's share is used up, or the server wants to pause."""
        if self._batched is not None and self._batched is not self.socket:
            self._batched = None  # replaced: that other one waits
        # Asked anew on each turn: programs put hooks on a server that serves.
        if self._batched is None or not self._takes_batches():
            self._handle_request_noblock()
            return
        self._nothing_waiting = False
        for _ in range(self._BATCH):
            self._take_request()
            if self._nothing_waiting or self._suspended or self._is_ending():
                break
            now = time.monotonic()
            if now >= until:
                break
            if not self._one_by_one and self._is_full() and not self._wait_for_room(until - now):
                break

    def _take_request(self) -> None:
        try:
            request, client_address = self.get_request()
        except Exception as error:
            self._accept_failed(error)
            return
        self._aborted = 0
        self._event_counts.accepted += 1
        try:
            reason = refusal(self, request, client_address)
            if reason is None and not self.verify_request(request, client_address):
                reason = "verify"
            if reason is not None:
                self._refuse(client_address, reason)
                self.shutdown_request(request)
                return
            if not self._one_by_one:
                self._request_admitted(request, client_address)
            self.process_request(request, client_address)
            if self._pause_kind:  # only now, as the mix-in may have lacked a thread for it
                self._pause_kind = ""
                self._backoff.succeeded()
        except Exception:
            try:
                self._request_failed(request, client_address)
            finally:
                self._end_request(request, client_address)
        except BaseException:
            # A thread may have it by now, and would wait on in a closed socket.
            cut(request)
            self.shutdown_request(request)
            raise

    def _request_admitted(self, request: Any, client_address: Any) -> None:
        connection = self._requests_in_progress.add(request, client_address, host_of(client_address))
        if events.ConnectionStarted.listeners:
            events.ConnectionStarted(self._itself, client_address).emit()
        if self._has_deadlines:
            self._watch_deadlines(connection)

    def _refuse(self, client_address: Any, reason: str) -> None:
        """Count a request that is not let in, and tell of it."""
        self._event_counts.add("refused", reason)
        if events.RequestRefused.listeners:
            events.RequestRefused(self._itself, client_address, reason).emit()

    # -- When a request cannot be taken --------------------------------------------------------------------------

    def _accept_failed(self, error: Exception) -> None:
        if isinstance(error, BlockingIOError):  # the usual end of a batch
            self._nothing_waiting = True
            return
        kind = classify(error, self._listener_is_open())
        if kind is AcceptErrorKind.ABORTED:
            self._aborted += 1
            if self._aborted <= self._BATCH:
                self._tell_accept_failed(kind, error)
                return
            kind = AcceptErrorKind.ERROR  # so many in a row are no clients that hang up
        self._nothing_waiting = True
        if kind in (AcceptErrorKind.RESOURCES, AcceptErrorKind.ERROR):
            self._pause_accepting(kind, error)

    def _pause_accepting(self, kind: AcceptErrorKind, error: Exception) -> None:
        """Accept no more for a while, each time a longer one, and tell of the first time."""
        self._pause_kind = kind.value
        if self._backoff.failed():
            self._tell_accept_failed(kind, error)
            logger.warning("accepting pauses: %s", error)

    def _tell_accept_failed(self, kind: AcceptErrorKind, error: Exception) -> None:
        self._event_counts.add("accept", kind.value)
        if events.AcceptFailed.listeners:
            events.AcceptFailed(self._itself, kind.value, error).emit()

    def _listener_is_open(self) -> bool:
        try:
            return self.fileno() != -1
        except (OSError, ValueError, AttributeError):
            return False

    def _reason_to_pause(self) -> tuple[str | None, float | None]:
        """Return why the server may not accept now, and after how many seconds to ask again; None for neither."""
        if self._suspended:
            return "suspended", None
        if self._is_full():
            return "limit", None
        if self._backoff.pausing:
            remaining = self._backoff.remaining()
            if remaining > 0:
                return self._pause_kind, remaining
        return None, None

    def _is_full(self) -> bool:
        limit = self.max_connections
        return limit is not None and self.at_limit == "wait" and self._count_active() >= limit

    def _wait_for_room(self, timeout: float | None = None) -> bool:
        """Wait until the server is not full; return False if `timeout` seconds, or the serving, ended first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._room_is_awaited = True
        try:
            while self._is_full():
                remaining = -1 if deadline is None else deadline - time.monotonic()
                if self._is_ending() or self._closed or self._suspended or (deadline is not None and remaining <= 0):
                    return False
                self._room.acquire(True, remaining)
        finally:
            self._room_is_awaited = False
        return True

    # -- The loop's view of the listener -------------------------------------------------------------------------

    @contextmanager
    def _watching(self, selector: Any, forever: bool = True) -> Iterator[ListenerWatch]:
        """Watch the listener in `selector`: for many requests, taken in batches where that can be, or for one."""
        outer = self._watch, self._batched  # a program may call `handle_request` from within the loop
        watch = ListenerWatch(self._itself, selector, may_be_woken=forever or self._reason_to_pause()[0] is not None)
        self._watch = watch
        if forever:
            self._backoff.hold_reserve()
        try:
            with self._not_waiting(forever and self._takes_batches()) as self._batched:
                yield watch
        finally:
            self._watch, self._batched = outer
            watch.close()
            if forever:
                self._backoff.release_reserve()

    def _takes_batches(self) -> bool:
        """Whether `get_request` is ours: another may wait for what the selector does not see."""
        return False

    @contextmanager
    def _not_waiting(self, wanted: bool) -> Iterator[Any]:
        """Have `get_request` raise `BlockingIOError` rather than wait; yields the listener that does, or None."""
        yield None

    def _watch_descriptor(self, descriptor: int) -> None:
        """Have the loop turn when a descriptor becomes readable."""
        if self._watch is not None:
            self._watch.add(descriptor)

    def _forget_descriptor(self, descriptor: int) -> None:
        """Undo `_watch_descriptor`; does nothing if the loop does not know the descriptor."""
        if self._watch is not None:
            self._watch.remove(descriptor)
