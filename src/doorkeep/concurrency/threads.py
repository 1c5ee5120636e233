"""Requests in threads: one for each request that is being handled."""

from __future__ import annotations

import contextvars
import itertools
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any

from doorkeep.addresses import AF_UNIX
from doorkeep.connection.accepting import AcceptErrorKind
from doorkeep.datagram_listeners import UDPServer, UnixDatagramServer
from doorkeep.listeners import TCPServer, UnixStreamServer
from doorkeep.settings import FLAG, SECONDS_OR_ZERO, Setting

if TYPE_CHECKING:
    from doorkeep.server import BaseServer as _Server
else:
    _Server = object  # mix-ins have no base, as in the standard library

__all__ = ["ThreadingMixIn"]

# Seconds that threads have to end after a drain has cut their requests.
AFTER_DRAIN = 1.0


class _Threads(list[Any]):
    """The threads of a server that are no daemons, to be joined; the ended ones leave by and by."""

    _reap_at = 8

    def append(self, thread: Any) -> None:
        if len(self) >= self._reap_at:
            self.reap()
            self._reap_at = 2 * len(self) + 8
        if not thread.daemon:
            super().append(thread)

    def pop_all(self) -> list[Any]:
        self[:], threads = [], self[:]
        return threads

    def join(self, timeout: float | None = None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self.pop_all():
            if thread is not threading.current_thread():
                thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))

    def reap(self) -> None:
        self[:] = [thread for thread in self if thread.is_alive()]


class _NoThreads:
    """Stands where nobody waits for threads."""

    def append(self, thread: Any) -> None:
        pass

    def join(self, timeout: float | None = None) -> None:
        pass


_number = itertools.count(1)

Job = tuple[Callable[[Any, Any], object], Any, Any]


class RequestThread(threading.Thread):
    """Does a job, and those of its crew that come within `linger` seconds of it.

    Each runs in a context of its own (`contextvars`). An exception that leaves the job ends the thread.
    """

    def __init__(self, job: Job, crew: Crew, linger: float, daemon: bool) -> None:
        super().__init__(name=f"Thread-{next(_number)} (process_request_thread)", daemon=daemon)
        self._job: Job | None = job
        self._crew = crew
        self._linger = linger

    def run(self) -> None:
        job, self._job = self._job, None
        try:
            while job is not None:
                contextvars.Context().run(job[0], job[1], job[2])
                job = None  # a request is not to live on in an idle thread
                job = self._crew.next_job(self._linger)
        finally:
            self._crew.left()


class Crew:
    """The threads of a server, and the jobs between the accepting thread and them.

    There are never more jobs waiting than threads to take them at once. Whichever thread is first takes a job: one
    that is awake mostly, as it costs more to wake another than to do it. `tell` is called when a thread has fallen
    idle or ended, if somebody wants to know.
    """

    def __init__(self, daemon: bool, tell: Callable[[], None] | None = None) -> None:
        self.daemon = daemon
        self.size = 0
        # Threads without a job, less the jobs that wait for one.
        self.spare = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._tell = tell

    def employ(self, job: Job, linger: float) -> RequestThread | None:
        """Have a thread do the job: one that is there, or a new one, which is returned.

        Raises `RuntimeError` where the system has no thread left.
        """
        with self._lock:
            if self.spare > 0:
                self.spare -= 1
                self._jobs.put(job)
                return None
            self.size += 1
        thread = RequestThread(job, self, linger, self.daemon)
        try:
            thread.start()
        except RuntimeError:
            self.left()
            raise
        return thread

    def next_job(self, linger: float) -> Job | None:
        """Return the next job for the calling thread, or None if it should end."""
        with self._lock:
            if self._closed or linger <= 0:
                return None
            self.spare += 1
        if self._tell is not None:
            self._tell()
        while True:
            try:
                return self._jobs.get(True, linger)
            except Empty:
                with self._lock:
                    if self.spare > 0:
                        self.spare -= 1
                        return None
                # A job has come for us at the last moment.

    def left(self) -> None:
        """Note that a thread has ended."""
        with self._lock:
            self.size -= 1
        if self._tell is not None:
            self._tell()

    def close(self) -> None:
        """End the idle threads now, and each busy one after its job."""
        with self._lock:
            self._closed = True
            while self.spare > 0:
                self.spare -= 1
                self._jobs.put(None)


class ThreadingMixIn(_Server):
    """Handles each request in a thread that is its alone while it lasts.

    A thread whose request has ended waits `thread_linger` seconds for another one, for starting a thread costs more
    than most requests. It then has the `threading.local` values of the request before; with `thread_linger = 0`
    each request has a thread that none had before.
    """

    daemon_threads: Annotated[bool, Setting(FLAG, "whether the program may end although requests are in progress")] = (
        False
    )
    block_on_close: Annotated[
        bool, Setting(FLAG, "whether server_close waits for the requests in progress, unless they are daemons")
    ] = True
    thread_linger: Annotated[
        float,
        Setting(SECONDS_OR_ZERO, "how long an idle thread waits for another request", takes_effect="for new threads"),
    ] = 0.1

    _threads: Any = _NoThreads()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a request and close it, in its thread."""
        try:
            if self._prologue(request, client_address):
                self.finish_request(request, client_address)
        except Exception:
            self._request_failed(request, client_address)
        finally:
            self._end_request(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a thread handle the request."""
        if self.block_on_close and "_threads" not in vars(self):
            self._threads = _Threads()
        crew = self._crew
        if crew is None or crew.daemon != self.daemon_threads:
            crew = self._replace_crew()
        try:
            thread = crew.employ((self.process_request_thread, request, client_address), self.thread_linger)
        except RuntimeError as error:
            self._pause_accepting(AcceptErrorKind.RESOURCES, error)
            raise
        if thread is not None:
            self._threads.append(thread)

    def server_close(self) -> None:
        """Close the server, and wait for requests in progress if `block_on_close`."""
        super().server_close()
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        # What a drain has cut gets a moment to notice; a handler that is busy with other things is left behind.
        self._threads.join(*([AFTER_DRAIN] if self._drained else []))

    _crew: Crew | None = None

    def _replace_crew(self) -> Crew:
        if self._crew is not None:
            self._crew.close()
        self._crew = self._make_crew()
        return self._crew

    def _make_crew(self) -> Crew:
        return Crew(bool(self.daemon_threads))


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """Serves TCP connections, each in a thread."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """Serves UDP datagrams, each in a thread."""


if AF_UNIX is not None:

    class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
        """Serves connections to a Unix socket, each in a thread."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
        """Serves datagrams to a Unix socket, each in a thread."""
