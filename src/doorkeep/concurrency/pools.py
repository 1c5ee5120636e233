"""Requests in a bounded number of threads."""

from __future__ import annotations

from typing import Annotated, Any

from doorkeep.addresses import AF_UNIX
from doorkeep.concurrency.threads import Crew, ThreadingMixIn
from doorkeep.connection.registry import method_of
from doorkeep.datagram_listeners import UDPServer, UnixDatagramServer
from doorkeep.listeners import TCPServer, UnixStreamServer
from doorkeep.settings import POSITIVE_COUNT, SECONDS_OR_ZERO, Setting

__all__ = ["ThreadPoolMixIn"]

# How many seconds the accepting thread waits for several threads to fall idle rather than for one.
_MOMENT = 0.001


class ThreadPoolMixIn(ThreadingMixIn):
    """Handles requests in at most `pool_size` threads.

    While all of them are busy the server does not accept: clients wait in the kernel's backlog, and nothing
    piles up in memory. Threads start as they are needed and end when they were idle for `thread_linger` seconds.
    """

    pool_size: Annotated[
        int,
        Setting(POSITIVE_COUNT, "how many threads handle requests", at_limit="clients wait in the kernel's backlog"),
    ] = 32
    thread_linger: Annotated[
        float,
        Setting(SECONDS_OR_ZERO, "how long an idle thread waits for another request", takes_effect="for new threads"),
    ] = 1.0

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have one of the threads handle the request; waits for one if all are busy."""
        if self._pool_is_busy():
            self._wait_for_room()
        super().process_request(request, client_address)

    def _make_crew(self) -> Crew:
        return Crew(bool(self.daemon_threads), tell=method_of(self, "_made_room"))

    def _is_full(self) -> bool:
        return self._pool_is_busy() or super()._is_full()

    def _pool_is_busy(self) -> bool:
        crew = self._crew
        # Not by the idle ones: where the pool has been made smaller there are more of them than may work.
        return crew is not None and crew.size - crew.spare >= self.pool_size

    # -- Waiting for a thread ------------------------------------------------------------------------------------

    # To wake the accepting thread for each thread that falls idle costs more than a short request does. So it sleeps
    # on until this many are idle, or for a moment; where threads seldom fall idle together, the number sinks to one.
    _worth_waking = 1
    # Only for that moment: after it the thread that it waits for may be the only one to fall idle, or end instead.
    _sleeps_on = False

    def _made_room(self) -> None:
        """Tell the loop that it may take a request more, if it is worth its while."""
        crew = self._crew
        if crew is None or not self._sleeps_on or crew.spare >= self._worth_waking:
            super()._made_room()

    def _wait_for_room(self, timeout: float | None = None) -> bool:
        self._sleeps_on = True
        try:
            super()._wait_for_room(_MOMENT if timeout is None else min(timeout, _MOMENT))
        finally:
            self._sleeps_on = False
        crew = self._crew
        if crew is not None and crew.spare >= self._worth_waking:
            self._worth_waking = min(self._worth_waking * 2, max(self.pool_size // 2, 1))
        else:
            self._worth_waking = 1
        return super()._wait_for_room(timeout)


class ThreadPoolTCPServer(ThreadPoolMixIn, TCPServer):
    """Serves TCP connections, each in one of a pool of threads."""


class ThreadPoolUDPServer(ThreadPoolMixIn, UDPServer):
    """Serves UDP datagrams, each in one of a pool of threads."""


if AF_UNIX is not None:

    class ThreadPoolUnixStreamServer(ThreadPoolMixIn, UnixStreamServer):
        """Serves connections to a Unix socket, each in one of a pool of threads."""

    class ThreadPoolUnixDatagramServer(ThreadPoolMixIn, UnixDatagramServer):
        """Serves datagrams to a Unix socket, each in one of a pool of threads."""
