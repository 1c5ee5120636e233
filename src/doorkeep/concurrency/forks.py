"""Requests in child processes."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from doorkeep.addresses import AF_UNIX
from doorkeep.datagram_listeners import UDPServer, UnixDatagramServer
from doorkeep.listeners import TCPServer, UnixStreamServer
from doorkeep.settings import FLAG, POSITIVE_COUNT, Setting

if TYPE_CHECKING:
    from doorkeep.connection.registry import Connection
    from doorkeep.connection.watch import ListenerWatch
    from doorkeep.server import BaseServer as _Server
else:
    _Server = object  # mix-ins have no base, as in the standard library

__all__ = ["ForkingMixIn"]

# Seconds between looks at the children where the kernel does not tell when one ends.
_PAUSE = 0.02
# Seconds that a child has to end after SIGTERM.
_AFTER_TERM = 1.0


class _Child:
    """A child process, by its pid and, where there is such a thing, a descriptor that tells when it ends."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor: int | None = None
        # Whether it has told of the end of its connection itself.
        self.told_the_end = False
        with contextlib.suppress(AttributeError, OSError):
            self.descriptor = os.pidfd_open(pid)


class ForkingMixIn(_Server):
    """Handles each request in a child process.

    At most `max_children` at a time: then the server does not accept. Waits for its own children only, and for each
    as soon as it ends where the kernel tells (pidfd_open(2)), else on the next turn of the loop.
    """

    timeout: float | None = 300
    active_children: set[int] | None = None
    max_children: Annotated[
        int,
        Setting(POSITIVE_COUNT, "how many children handle requests", at_limit="clients wait in the kernel's backlog"),
    ] = 40
    block_on_close: Annotated[bool, Setting(FLAG, "whether server_close waits for the children in progress")] = True

    def collect_children(self, *, blocking: bool = False) -> None:
        """Take note of the children that have ended; with `blocking`, wait until all have."""
        for pid in list(self.active_children or ()):
            try:
                ended, status = os.waitpid(pid, 0 if blocking else os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                ended, status = pid, 0
            if ended == pid:
                self._child_ended(pid, status)

    def handle_timeout(self) -> None:
        """Take note of ended children while no request comes."""
        self.collect_children()

    def service_actions(self) -> None:
        """Take note of ended children on each turn of the loop."""
        self.collect_children()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a child handle the request."""
        if len(self.active_children or ()) >= self.max_children:
            self.collect_children()
        if self._drain_signal is None:
            self._drain_signal = socket.socketpair()
        # What is buffered now is written once, not by the child again.
        _flush()
        pid = os.fork()
        if pid == 0:
            self._run_child(request, client_address)
        self._child_began(_Child(pid), request)
        self.close_request(request)

    def server_close(self) -> None:
        """Close the server, and wait for the children if `block_on_close`."""
        super().server_close()
        self.collect_children(blocking=bool(self.block_on_close))
        for end in self._drain_signal or ():
            end.close()
        self._drain_signal = None

    # -- Children ------------------------------------------------------------------------------------------------

    _children: dict[int, _Child] | None = None

    def _run_child(self, request: Any, client_address: Any) -> NoReturn:
        status = 1
        self.active_children = None  # they are the parent's: not ours to wait for, nor to end
        self._is_child = True
        try:
            self._deadline_watch.restart_in_child(self._requests_in_progress.get(request))
            self._handle_in_child(request, client_address)
            status = 0
        except Exception:
            self._request_failed(request, client_address)
        finally:
            try:
                self.shutdown_request(request)
            finally:
                _flush()
                os._exit(status)

    def _handle_in_child(self, request: Any, client_address: Any) -> None:
        if self._prologue(request, client_address):
            self.finish_request(request, client_address)

    def _watch_deadlines(self, connection: Connection) -> None:
        pass  # the child does

    # What children inherit to learn of a drain: the first of the two becomes readable, and nobody reads from it.
    _drain_signal: tuple[socket.socket, socket.socket] | None = None
    _is_child = _expects_drain = False

    def _end_conversations(self) -> None:
        if self._drain_begun and self._drain_signal is not None and not self._is_child:
            self._drain_signal[1].send(b"!")
        super()._end_conversations()

    def _expect_drain(self) -> None:
        if self._is_child and not self._expects_drain:
            self._expects_drain = True
            threading.Thread(target=self._await_drain, name="doorkeep drain", daemon=True).start()

    def _await_drain(self) -> None:
        assert self._drain_signal is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._drain_signal[0], selectors.EVENT_READ)
            selector.select()
        self._drain_begun = True
        self._end_conversations()

    def _child_began(self, child: _Child, request: Any) -> None:
        if self.active_children is None:
            self.active_children = set()
        if self._children is None:
            self._children = {}
        self.active_children.add(child.pid)
        self._children[child.pid] = child
        self._requests_in_progress.hand_on(request, child)
        if child.descriptor is not None:
            self._watch_descriptor(child.descriptor)

    def _child_ended(self, pid: int, status: int) -> None:
        if self.active_children is not None:
            self.active_children.discard(pid)
        if status != 0:
            self._event_counts.add("failed")
        child = (self._children or {}).pop(pid, None)
        if child is None:
            return
        if child.descriptor is not None:
            self._forget_descriptor(child.descriptor)
            os.close(child.descriptor)
        child.told_the_end = os.WIFEXITED(status)
        connection = self._requests_in_progress.remove(child)
        if connection is not None:
            self._request_ended(connection, child)

    def _tells_the_end(self, request: Any) -> bool:
        return super()._tells_the_end(request) and not (isinstance(request, _Child) and request.told_the_end)

    def _is_full(self) -> bool:
        return len(self.active_children or ()) >= self.max_children or super()._is_full()

    @contextmanager
    def _watching(self, selector: Any, forever: bool = True) -> Iterator[ListenerWatch]:
        with super()._watching(selector, forever) as watch:
            for descriptor in self._descriptors():
                watch.add(descriptor)
            yield watch

    def _reason_to_pause(self) -> tuple[str | None, float | None]:
        if self._is_full():
            self.collect_children()
        reason, pause = super()._reason_to_pause()
        return reason, _PAUSE if reason == "limit" and not self._all_tell() else pause

    def _wait_for_room(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return not self._is_full()  # the loop waits better: it can be woken
        while self._is_full():
            self._wait_for_a_child(None)
        return True

    def _wait_for_a_child(self, timeout: float | None) -> None:
        """Wait until a child ends, or for `timeout` seconds."""
        if self._all_tell():
            with selectors.DefaultSelector() as selector:
                for descriptor in self._descriptors():
                    selector.register(descriptor, selectors.EVENT_READ)
                selector.select(timeout)
        else:
            time.sleep(_PAUSE if timeout is None else min(_PAUSE, timeout))
        self.collect_children()

    def _descriptors(self) -> list[int]:
        children = (self._children or {}).values()
        return [child.descriptor for child in children if child.descriptor is not None]

    def _all_tell(self) -> bool:
        """Whether the kernel tells of the end of every child."""
        return len(self._descriptors()) == len(self.active_children or ())

    def _wait_until_idle(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.active_children:
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            self._wait_for_a_child(remaining)
        return True

    def _cut_requests(self) -> int:
        left = list(self.active_children or ())
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not self._wait_until_idle(_AFTER_TERM):
            for pid in list(self.active_children or ()):
                os.kill(pid, signal.SIGKILL)
        return len(left)


if hasattr(os, "fork"):

    class ForkingTCPServer(ForkingMixIn, TCPServer):
        """Serves TCP connections, each in a child process."""

    class ForkingUDPServer(ForkingMixIn, UDPServer):
        """Serves UDP datagrams, each in a child process."""

    if AF_UNIX is not None:

        class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
            """Serves connections to a Unix socket, each in a child process."""

        class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
            """Serves datagrams to a Unix socket, each in a child process."""


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
