"""Requests in greenlets: all in one thread, each going on while the others wait."""

from __future__ import annotations

import logging
import socket
import time
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from greenlet import GreenletExit, getcurrent, greenlet

from doorkeep import events
from doorkeep.addresses import AF_UNIX
from doorkeep.concurrency.threads import AFTER_DRAIN
from doorkeep.connection.admission import admits_all
from doorkeep.connection.steps import Steps
from doorkeep.connection.watch import ListenerWatch
from doorkeep.datagram_listeners import UDPServer, UnixDatagramServer
from doorkeep.green.datagrams import DatagramBatch, batch_of, make_socket
from doorkeep.green.hub import current_hub, hub_of_thread, run
from doorkeep.green.selector import GreenSelector
from doorkeep.green.sockets import GreenSocket, WaitingSocket, green
from doorkeep.green.waiting import Condition, park_until
from doorkeep.green.watchdog import Watchdog
from doorkeep.handlers import caller_of
from doorkeep.listeners import TCPServer, UnixStreamServer
from doorkeep.settings import FLAG, SECONDS, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from traceback import StackSummary

    from doorkeep.connection.registry import Connection
    from doorkeep.datagram_listeners import UDPServer as _DatagramServer
    from doorkeep.green.core import Hub
    from doorkeep.listeners import TCPServer as _StreamServer
else:
    _StreamServer = _DatagramServer = object  # mix-ins have no base, as in the standard library

__all__ = ["GreenDatagramMixIn", "GreenMixIn"]

logger = logging.getLogger("doorkeep.server")

# What is not for a request to deal with: the end of its greenlet, or of the program.
_ENDS = (GreenletExit, KeyboardInterrupt, SystemExit)
# Seconds for which a greenlet goes on with datagrams that come meanwhile, before others have their turn.
_TURN = 0.001
# The servers that serve now: those in one hub are held up by each other's handlers.
_serving: weakref.WeakSet[GreenMixIn] = weakref.WeakSet()


class GreenMixIn(_StreamServer):
    """Handles each request in a greenlet of the thread that calls `serve_forever`.

    A handler is written as for threads. Where it would wait for its connection, or in a function of
    `doorkeep.green`, the others go on; whatever else blocks or computes holds up all of them.
    """

    block_on_close: Annotated[
        bool, Setting(FLAG, "whether the end of serving waits for the requests in progress, or ends them")
    ] = True
    coalesce_writes: Annotated[
        bool,
        Setting(
            FLAG,
            "whether writes to wfile leave together, when the handler next waits, ends or flushes",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = False

    blocked_after: Annotated[
        float | None,
        Setting(SECONDS, "how long a handler may keep the others from going on", at_limit="it is told and counted"),
    ] = 0.1

    # -- Serving -------------------------------------------------------------------------------------------------

    _draining = False

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Take requests until `shutdown`, then let those in progress finish.

        They need this thread, so this returns when the last has ended; `shutdown` returns before. Where
        `block_on_close` is false they are ended instead.
        """
        run(self._serve, poll_interval)

    def _serve(self, poll_interval: float) -> None:
        hub = current_hub()
        assert hub is not None
        _serving.add(self)
        try:
            with Watchdog(hub, lambda: self.blocked_after, self._tell_blocked):
                super().serve_forever(poll_interval)
                self._finish_requests()
        finally:
            _serving.discard(self)

    def _tell_blocked(self, greenlet: Any, seconds: float, stack: StackSummary) -> None:
        """Count a greenlet that holds the hub and tell of it, unless it is another server's."""
        connection = self._request_of(greenlet)
        if connection is None and any(other._request_of(greenlet) for other in list(_serving)):
            return
        self._event_counts.add("blocked")
        if events.HubBlocked.listeners:
            client_address = None if connection is None else connection.client_address
            place = f"{stack[-1].filename}:{stack[-1].lineno} in {stack[-1].name}"
            events.HubBlocked(self, client_address, seconds, place, "".join(stack.format())).emit()

    def _request_of(self, greenlet: Any) -> Connection | None:
        """Return the request that a greenlet handles, if it is one of this server's."""
        return next((known for known in self._requests_in_progress if known.task is greenlet), None)

    def _finish_requests(self) -> None:
        """Let requests in progress finish, for at most `drain_timeout` seconds, then cut and at last end them."""
        requests = self._requests_in_progress
        if self._lets_finish():
            requests.wait(lambda: self._draining or self._drained or not self._others(), self.drain_timeout)
            # A drain, in another thread, has a deadline of its own, and counts what it cuts.
            requests.wait(lambda: not self._draining or not self._others(), None)
            if not self._drained:
                self._cut_requests()
            self._wait_until_idle(AFTER_DRAIN)
        hub = hub_of_thread()
        for connection in self._others():
            if hub is not None and connection.task is not None:
                hub.interrupt(connection.task, GreenletExit())
        self._wait_until_idle(AFTER_DRAIN)

    def _lets_finish(self) -> bool:
        """Whether the end of serving waits for requests in progress."""
        return self.block_on_close

    def drain(self, timeout: float | None = None) -> int:
        self._draining = True
        try:
            return super().drain(timeout)
        finally:
            self._draining = False
            self._requests_in_progress.notify()

    def _wait_until_idle(self, timeout: float | None) -> bool:
        hub = hub_of_thread()
        if hub is not None and not hub.running:
            # An exception has left `serve_forever`, and the requests standing still.
            return run(super()._wait_until_idle, timeout)
        if hub is None and self not in _serving:
            return not self._others()  # nobody runs them any more
        return super()._wait_until_idle(timeout)

    def server_close(self) -> None:
        """Close the server, and wait for requests in progress if `block_on_close`."""
        super().server_close()
        if self._lets_finish():
            # What a drain has cut gets a moment to notice.
            self._wait_until_idle(AFTER_DRAIN if self._drained else None)

    # -- Taking requests in --------------------------------------------------------------------------------------

    def _make_selector(self) -> Any:
        hub = current_hub()
        selector = super()._make_selector()
        return selector if hub is None else GreenSelector(hub, selector)

    _room_seeker: tuple[Hub, Any] | None = None

    def _wait_for_room(self, timeout: float | None = None) -> bool:
        hub = current_hub()
        if hub is None:
            return super()._wait_for_room(timeout)

        def has_changed() -> bool:
            return not self._is_full() or self._is_ending() or self._closed or self._suspended

        self._room_seeker = hub, getcurrent()
        self._room_is_awaited = True
        try:
            return park_until(hub, has_changed, timeout) and not self._is_full()
        finally:
            self._room_is_awaited = False
            self._room_seeker = None

    def _tell_of_room(self) -> None:
        seeker = self._room_seeker
        if seeker is not None:
            seeker[0].call_from_thread(partial(seeker[0].wake, seeker[1]))
        else:
            super()._tell_of_room()

    def _make_condition(self) -> Condition:
        return Condition()

    def _accept(self, listener: Any) -> tuple[Any, Any]:
        hub = current_hub()
        if hub is None or type(listener) is not socket.socket:
            return super()._accept(listener)
        descriptor, client_address = listener._accept()  # type: ignore[attr-defined]  # what its `accept` is made of
        # Numbers rather than the listener's properties, which make members of enumerations of them.
        family = int(self.address_family)
        return GreenSocket.of_descriptor(hub, family, socket.SOCK_STREAM, 0, descriptor), client_address

    def _prepared(self, request: Any, context: Any, suppress_ragged_eofs: bool = True) -> Any:
        prepared = super()._prepared(request, context, suppress_ragged_eofs)
        hub = current_hub()
        return prepared if hub is None else green(hub, prepared)

    # -- Handling them -------------------------------------------------------------------------------------------

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a greenlet handle the request; outside of `serve_forever`, handle it before this returns."""
        hub = current_hub()
        if hub is None:
            run(self.process_request_greenlet, request, client_address)
        else:
            hub.start(self.process_request_greenlet, request, client_address)

    def process_request_greenlet(self, request: Any, client_address: Any) -> None:
        """Handle a request and close it, in its greenlet."""
        try:
            if not isinstance(request, WaitingSocket):
                request = self._made_green(request)
            if self._prologue(request, client_address):
                self.finish_request(request, client_address)
        except _ENDS:
            raise
        except BaseException:  # as it ends a thread, and not the others
            self._request_failed(request, client_address)
        finally:
            self._end_request(request, client_address)

    def _request_failed(self, request: Any, client_address: Any) -> None:
        try:
            super()._request_failed(request, client_address)
        except Exception:  # of the program's own `handle_error`; it would end the hub
            logger.exception("handle_error failed")

    def _call_handler(self, request: Any, client_address: Any) -> None:
        kind = self.RequestHandlerClass
        caller_of(kind)(kind, request, client_address, self)

    def _made_green(self, request: Any) -> Any:
        """Return the hub's own of a connection that a program's `get_request` has accepted itself."""
        hub = hub_of_thread()
        if hub is None or not isinstance(request, socket.socket):
            return request
        made = green(hub, request)
        if made is not request:
            self._requests_in_progress.hand_on(request, made)
        return made

    def _current_task(self) -> Any:
        return getcurrent()

    def _runs_in_loop(self, task: Any) -> bool:
        return isinstance(task, greenlet)

    def _beside(self) -> Callable[[Callable[[], object]], object]:
        hub = current_hub()
        return super()._beside() if hub is None else partial(_start_in, hub)


def _start_in(hub: Hub, function: Callable[[], object]) -> None:
    hub.call_from_thread(partial(hub.start, function))


class GreenDatagramMixIn(GreenMixIn, _DatagramServer):
    """Handles datagrams in greenlets, those that come together one after another while none has to wait.

    With the compiled hub they are received and answered many at a time: a reply leaves when its handler waits, the
    batch ends or a millisecond has passed. A program that overrides a step of their way, restricts who comes in, or
    listens on every address, has each taken by itself.
    """

    _batch: DatagramBatch | None = None
    _receiving = False

    def _make_socket(self) -> socket.socket:
        return make_socket(self.address_family, self.socket_type)

    @contextmanager
    def _watching(self, selector: Any, forever: bool = True) -> Iterator[ListenerWatch]:
        hub = current_hub()
        listener = self.socket
        if forever and hub is not None and self._reply_sockets is None and _WAY.are_plain_in(self):
            self._batch = batch_of(hub, listener, self._truncated, self._reply_failed)
        try:
            if self._batch is not None:
                listener.batch = self._batch
            with super()._watching(selector, forever) as watch:
                yield watch
        finally:
            if self._batch is not None:
                self._batch.close()
                self._batch = listener.batch = None

    def _handle_waiting_requests(self, until: float) -> None:
        batch, hub = self._batch, current_hub()
        if batch is None or hub is None or not admits_all(self) or not _WAY.are_plain_in(self):
            super()._handle_waiting_requests(until)
            return
        self._receiving = True
        try:
            while self._receive(batch, until):
                # A handler that waits keeps its greenlet: the rest is for another.
                while batch.waiting:
                    hub.start(self._handle_datagrams, batch)
                    hub.give_way()
        finally:
            self._receiving = False

    def _receive(self, batch: DatagramBatch, until: float) -> bool:
        """Take in what has come, unless the turn is over; return whether there is something to handle."""
        if self._suspended or self._is_ending() or time.monotonic() >= until:
            return False
        try:
            received = batch.receive(self.max_packet_size)
        except OSError as error:
            self._accept_failed(error)
            return False
        self._event_counts.accepted += received
        return batch.waiting

    def _handle_datagrams(self, batch: DatagramBatch) -> None:
        me = getcurrent()
        until = time.monotonic() + _TURN
        self._requests_in_progress.add(me, None, None).task = me
        try:
            self._handle_received(batch)
            # Only while the loop looks after what would be left if a handler had to wait.
            while self._receiving and self._receive(batch, until):
                self._handle_received(batch)
        finally:
            self._requests_in_progress.remove(me)

    def _handle_received(self, batch: DatagramBatch) -> None:
        kind = self.RequestHandlerClass
        call = caller_of(kind)
        for request, client_address in batch:
            try:
                call(kind, request, client_address, self)
            except _ENDS:
                raise
            except BaseException:
                self._request_failed(request, client_address)

    def _reply_failed(self, client_address: Any, error: OSError) -> None:
        try:
            raise error
        except OSError:
            self._request_failed(None, client_address)


class GreenTCPServer(GreenMixIn, TCPServer):
    """Serves TCP connections, each in a greenlet."""


class GreenUDPServer(GreenDatagramMixIn, UDPServer):
    """Serves UDP datagrams, each in a greenlet."""


# A datagram's way from the listener to the handler and back.
_WAY = Steps(
    GreenUDPServer,
    *("get_request", "verify_request", "process_request", "process_request_greenlet", "finish_request"),
    *("shutdown_request", "close_request", "_handle_request_noblock"),
)


if AF_UNIX is not None:

    class GreenUnixStreamServer(GreenMixIn, UnixStreamServer):
        """Serves connections to a Unix socket, each in a greenlet."""

    class GreenUnixDatagramServer(GreenDatagramMixIn, UnixDatagramServer):
        """Serves datagrams to a Unix socket, each in a greenlet."""
