"""What all servers share: the loop, the way of a request, and how both end."""

from __future__ import annotations

import logging
import math
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Annotated, Any

from doorkeep import events
from doorkeep.acceptor import Acceptor
from doorkeep.addresses import format_address
from doorkeep.connection.deadlines import Deadlines, cut, is_idle_timeout, tell_passed
from doorkeep.connection.peers import is_disconnect, traffic_of
from doorkeep.connection.prologue import note_begun, run_prologue
from doorkeep.connection.registry import Connection
from doorkeep.settings import SECONDS_OR_ZERO, Setting, apply_settings
from doorkeep.statistics import Statistics

__all__ = ["BaseServer"]

logger = logging.getLogger("doorkeep.server")

# Looked up at each use, as programs subclass and replace it. poll(2) takes descriptors of any size and, unlike
# epoll(7), costs none.
_ServerSelector: Any = getattr(selectors, "PollSelector", selectors.SelectSelector)


class _ShutDown(threading.Event):
    """Set when no loop runs. `begun` tells whether one ever has."""

    begun = False

    def clear(self) -> None:
        self.begun = True
        super().clear()


class BaseServer(Acceptor):
    """The base of all servers: a loop that takes requests and leads each to its handler.

    `server_address` is where to serve, `RequestHandlerClass` what is called with `(request, client_address,
    server)` for each request. Each setting below may be a class attribute, a keyword argument, or assigned at any
    time.

    The way of a request, each step a method to override: `get_request`, `verify_request`, `process_request`,
    `finish_request`, `shutdown_request`, `close_request`. An exception in any of them costs that request only and
    goes to `handle_error`; `KeyboardInterrupt` and `SystemExit` leave the loop. A base of `TCPServer` and no
    server in itself: it has no `get_request`, `fileno` or socket.
    """

    #: Seconds that `handle_request` waits before it calls `handle_timeout`; None: without end. Nothing else reads it.
    timeout: float | None = None

    drain_timeout: Annotated[
        float | None,
        Setting(
            SECONDS_OR_ZERO,
            "how long the end of a with block lets requests finish, in seconds; None: as long as they take",
            at_limit="what is left is cut",
        ),
    ] = None

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[..., Any], **settings: Any) -> None:
        super().__init__()
        self.server_address = server_address
        self.RequestHandlerClass = RequestHandlerClass
        self.__is_shut_down = _ShutDown()
        self.__shutdown_request = False
        self.__ending = threading.RLock()
        self.__serving_thread: int | None = None
        self._drain_begun = self._drained = self._loop_ends = False
        self._deadline_watch = Deadlines(self)
        apply_settings(self, settings)
        self._rate_limiter.prepare(self)

    # -- For the caller ------------------------------------------------------------------------------------------

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Take requests until `shutdown`.

        `service_actions` runs on each turn, at the latest every `poll_interval` seconds. Ignores `timeout`. Returns
        also when the listener is closed. May be called again afterwards.
        """
        # In this order, and the other way round at the end: a signal handler that shuts down between the two must not
        # wait for the thread that it runs in.
        self.__serving_thread = threading.get_ident()
        self._loop_ends = self._drain_begun = False
        self.__is_shut_down.clear()
        try:
            with self._make_selector() as selector, self._watching(selector) as watch:
                if events.ServerStarted.listeners:
                    events.ServerStarted(self).emit()
                while not self._is_ending():
                    waiting = watch.wait(poll_interval)
                    if self._is_ending() or watch.closed:
                        break
                    if waiting:
                        self._handle_waiting_requests(time.monotonic() + poll_interval)
                    self.service_actions()
        finally:
            with self.__ending:
                self.__shutdown_request = False
                self.__is_shut_down.set()
                self.__serving_thread = None
            if events.ServerStopped.listeners:
                events.ServerStopped(self).emit()

    def shutdown(self) -> None:
        """End `serve_forever` and wait until it has ended, which takes milliseconds.

        For any thread and any signal handler. In the thread that serves, as from a handler of a server without a
        mix-in, it returns before the loop ends. Before the first `serve_forever`, that call will return at once;
        after the last, it does nothing. Does not wait for requests in progress: see `drain`.
        """
        self._end_loop(None)

    def drain(self, timeout: float | None = None) -> int:
        """Stop accepting, let requests finish for `timeout` seconds, then cut what is left.

        Returns how many requests were cut. None waits as long as they take. Ends `serve_forever` and closes the
        listener, so that clients are refused rather than left to wait. A request whose own handler calls this is
        neither waited for nor cut. Handlers that have asked for it by `on_drain` are told when the drain begins. Does
        not end a handler that is busy with other things than its connection.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._end_loop(timeout)  # takes as long as the handler where that runs in the accepting thread
        self._stop_listening()
        self._drain_begun = True
        self._end_conversations()
        remaining = None if deadline is None else max(deadline - time.monotonic(), 0)
        cut_off = 0 if self._wait_until_idle(remaining) else self._cut_requests()
        self._drained = True
        if events.ServerDrained.listeners:
            events.ServerDrained(self, cut_off).emit()
        return cut_off

    def handle_request(self) -> None:
        """Wait for one request and handle it, or call `handle_timeout` when none has come in time.

        The time is `timeout` or the listener's own `gettimeout()`, whichever is less.
        """
        listener_timeout = self.socket.gettimeout()
        timeouts = [seconds for seconds in (listener_timeout, self.timeout) if seconds is not None]
        deadline = time.monotonic() + min(timeouts) if timeouts else None
        with self._make_selector() as selector, self._watching(selector, forever=False) as watch:
            while True:
                remaining = None if deadline is None else max(deadline - time.monotonic(), 0)
                if watch.wait(remaining):
                    self._handle_request_noblock()
                    return
                if watch.closed:
                    raise ValueError("the server is closed")
                if deadline is not None and time.monotonic() >= deadline:
                    self.handle_timeout()
                    return

    def server_close(self) -> None:
        """Free what the server holds; `serve_forever`, if it runs, ends. May be called more than once."""
        self._closed = True
        self._wake()
        self._rate_limiter.close()
        if not self._requests_in_progress:
            self._deadline_watch.stop()

    def stats(self) -> Statistics:
        """Return what the server has done so far."""
        return self._event_counts.snapshot(active=self._count_active())

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.drain_timeout is not None:
            self.drain(self.drain_timeout)
        self.server_close()

    # -- In the accepting thread ---------------------------------------------------------------------------------

    def _make_selector(self) -> Any:
        """Return what the loop waits with."""
        return _ServerSelector()

    socket: Any

    def fileno(self) -> int:
        """Return the listener's descriptor, for selectors; -1 when it is closed."""
        return int(self.socket.fileno())

    def server_activate(self) -> None:
        """Make the listener ready for requests; called by the constructor."""

    def get_request(self) -> tuple[Any, Any]:
        """Take the next request and return it with its client's address; may raise `OSError`."""
        raise NotImplementedError

    def service_actions(self) -> None:
        """Do what needs doing now and then; called on each turn of `serve_forever`."""

    def handle_timeout(self) -> None:
        """Called by `handle_request` when no request has come in time."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether to go on with a request."""
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a request and close it. Mix-ins do so side by side with others."""
        if self._prologue(request, client_address):
            self.finish_request(request, client_address)
        self._end_request(request, client_address)

    def _watch_deadlines(self, connection: Connection) -> None:
        self._deadline_watch.watch(connection)

    def _further_deadlines(self, connection: Connection, request: Any, now: float) -> Iterable[tuple[float, str]]:
        """Return the deadlines that a protocol adds, each with its setting; one without is when to ask again."""
        return ()

    def _time_is_up(self, connection: Connection, request: Any, setting: str) -> float:
        """End a connection that has not met a deadline, and tell of it; return when to look at it again."""
        tell_passed(self, connection, setting)
        cut(request)
        return math.inf

    def _is_ending(self) -> bool:
        return self.__shutdown_request

    # -- For any thread ------------------------------------------------------------------------------------------

    def _prologue(self, request: Any, client_address: Any) -> bool:
        """Lead a request to its handler's door, the TLS handshake included; return whether it may go in.

        Mix-ins call it in the thread of the handler, ahead of `finish_request`. A program that calls
        `finish_request` alone does without: TLS then shakes hands with the first byte.
        """
        return run_prologue(self, request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Call the handler class."""
        if self._has_deadlines:
            note_begun(self, request)
        self._call_handler(request, client_address)

    def _call_handler(self, request: Any, client_address: Any) -> None:
        self.RequestHandlerClass(request, client_address, self)

    def shutdown_request(self, request: Any) -> None:
        """End a request and close it."""
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Free what a request holds."""
        connection = self._requests_in_progress.remove(request)
        if connection is not None:
            self._request_ended(connection, request)

    def _end_request(self, request: Any, client_address: Any) -> None:
        """Call `shutdown_request`; what that raises is reported as what a handler raises."""
        try:
            self.shutdown_request(request)
        except Exception:
            self._request_failed(request, client_address)

    def _request_failed(self, request: Any, client_address: Any) -> None:
        """Count and tell of the exception that is being handled, and call `handle_error`."""
        error = sys.exc_info()[1]
        connection = self._requests_in_progress.get(request)
        if error is not None and connection is not None and is_idle_timeout(self, request, error):
            tell_passed(self, connection, "idle_timeout")
        elif error is not None and not is_disconnect(error):
            self._event_counts.add("failed")
            if events.RequestFailed.listeners:
                events.RequestFailed(self, client_address, error).emit()
        self.handle_error(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report the exception that is being handled, through `logging`.

        A peer that has hung up is a line at level DEBUG, any other exception an ERROR with its traceback.
        """
        error = sys.exc_info()[1]
        if error is not None and (is_disconnect(error) or is_idle_timeout(self, request, error)):
            logger.debug("%s hung up: %s", format_address(client_address), error)
        else:
            logger.error("request from %s failed", format_address(client_address), exc_info=True)

    def _request_ended(self, connection: Connection, request: Any = None) -> None:
        if events.ConnectionStopped.listeners and self._tells_the_end(request):
            traffic = traffic_of(request)
            seconds = time.monotonic() - connection.started
            events.ConnectionStopped(
                self, connection.client_address, seconds, traffic.received, traffic.sent, traffic.round_trip_time
            ).emit()
        self._made_room()
        if self._closed and not self._requests_in_progress:
            self._deadline_watch.stop(wait=False)

    def _tells_the_end(self, request: Any) -> bool:
        return True

    # -- The end -------------------------------------------------------------------------------------------------

    def _end_loop(self, timeout: float | None) -> None:
        """End `serve_forever` and wait for at most `timeout` seconds until it has ended, None without end."""
        self._loop_ends = True
        self._end_conversations()
        with self.__ending:
            if self.__is_shut_down.is_set():
                return
            self.__shutdown_request = True
            begun = getattr(self.__is_shut_down, "begun", True)
        self._wake()
        if begun and self.__serving_thread != threading.get_ident():
            self.__is_shut_down.wait(timeout)

    def _stop_listening(self) -> None:
        """Let no more clients come; called by `drain`."""

    def _end_conversations(self) -> None:
        """Tell the handlers that want to know it that their requests are to end, as far as they are."""
        # Also the caller's own: a signal handler runs in whatever task it has interrupted.
        for connection in self._requests_in_progress:
            notice = connection.drain_notice
            if notice is not None and self._is_to_end(connection.task):
                notice.give()

    def _is_to_end(self, task: Any) -> bool:
        """Return whether the server does not wait for what a task handles longer than it must."""
        return self._drain_begun or (self._loop_ends and self._runs_in_loop(task))

    def _runs_in_loop(self, task: Any) -> bool:
        """Return whether a task, as of `_current_task`, runs in the thread of the loop, which thus waits for it."""
        return bool(task == self.__serving_thread)

    def _beside(self) -> Callable[[Callable[[], object]], object]:
        """Return what starts a function beside its caller, a handler, and may itself be called in any thread."""
        return _start_thread

    def _expect_drain(self) -> None:
        """See to it that the caller, a handler, is told of a drain that begins in another process."""

    def _count_active(self) -> int:
        """Return how many requests are being handled now."""
        return len(self._requests_in_progress)

    def _current_task(self) -> Any:
        """Return what runs the caller: its thread's identifier, or what a mix-in has in the place of threads."""
        return threading.get_ident()

    def _others(self) -> list[Connection]:
        me = self._current_task()
        return [connection for connection in self._requests_in_progress if connection.task != me]

    def _wait_until_idle(self, timeout: float | None) -> bool:
        return self._requests_in_progress.wait(lambda: not self._others(), timeout)

    def _cut_requests(self) -> int:
        left = self._others()
        for connection in left:
            cut(connection())
        return len(left)


def _start_thread(function: Callable[[], object]) -> None:
    threading.Thread(target=function, name="doorkeep drain", daemon=True).start()
