"""The requests that a server is handling now."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doorkeep.connection.drain_notice import DrainNotice

__all__ = ["Connection", "Connections", "method_of"]


class Connection(weakref.ref[Any]):
    """A request from its admission to its end, with what is known of it: called, it returns the request or None.

    `started` and `ready` are `time.monotonic()` seconds; `ready` is None until the prologue is over. `task` is what
    handles the request, once the prologue has begun: the identifier of a thread, a greenlet, a task of asyncio. `due`
    is the earliest moment at which one of its deadlines could pass. A handler that waits for its client may note the
    moment until which it does, and the setting that says so: `waits_until`, `waits_for`; or ask to be told of a
    drain: `drain_notice`. `progress` is for whoever watches deadlines.
    """

    __slots__ = (
        *("client_address", "counted", "drain_notice", "due", "host", "key", "progress", "ready", "started", "task"),
        *("waits_for", "waits_until"),
    )

    key: int
    client_address: Any
    host: str | None
    started: float
    ready: float | None
    task: Any
    due: float
    counted: bool
    waits_until: float
    waits_for: str
    progress: Any
    drain_notice: DrainNotice | None

    def __new__(cls, request: Any, lost: Callable[[Any], None], client_address: Any, host: str | None) -> Connection:
        connection = super().__new__(cls, request, lost)
        connection.key = id(request)
        connection.client_address = client_address
        connection.host = host
        connection.started = time.monotonic()
        connection.ready = connection.task = connection.progress = connection.drain_notice = None
        connection.due = connection.waits_until = math.inf
        connection.waits_for = ""
        connection.counted = False
        return connection

    def __init__(self, request: Any, lost: Callable[[Any], None], client_address: Any, host: str | None) -> None:
        super().__init__(request, lost)  # type: ignore[call-arg]  # typeshed takes it for that of `object`


class _Held:
    """Stands for a request that cannot be referred to weakly, such as a datagram's tuple, and keeps it."""

    __slots__ = ("__weakref__", "request")

    def __init__(self, request: Any) -> None:
        self.request = request


class Connections:
    """The requests that are being handled; for any thread. `changed` is what those wait with that call `wait`.

    Holds no connection alive: a program may take one over, and drop it in its own time without a word. `lost` is
    then called with what was known of it.
    """

    def __init__(self, lost: Callable[[Connection], None], changed: threading.Condition | None = None) -> None:
        self._tell_lost = lost
        self._live: dict[int, Connection] = {}
        self._held: dict[int, _Held] = {}
        # Counted from the first question on, so that servers without a limit per host do not pay for it.
        self._by_host: Counter[str | None] | None = None
        # Reentrant: the collector may drop a forgotten request, and so call `_lost`, while the lock is held.
        self._lock = threading.RLock()
        self._changed = changed or threading.Condition()
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._live.values()))

    def get(self, request: Any) -> Connection | None:
        """Return what is known of a request, or None if it is not, or no longer, being handled."""
        return self._live.get(id(request))

    def count_of(self, host: str) -> int:
        """Return how many requests of a host are being handled."""
        with self._lock:
            if self._by_host is None:
                self._by_host = Counter()  # first, so that who leaves meanwhile waits and is taken off again
                for connection in self:
                    self._count(connection)
            return self._by_host[host]

    def add(self, request: Any, client_address: Any, host: str | None) -> Connection:
        """Take a request in."""
        try:
            connection = Connection(request, self._lost, client_address, host)
        except TypeError:
            held = self._held[id(request)] = _Held(request)
            connection = Connection(held, self._lost, client_address, host)
            connection.key = id(request)
        self._live[connection.key] = connection
        if self._by_host is not None:
            self._count(connection)
        return connection

    def hand_on(self, request: Any, successor: Any) -> None:
        """Know a request by another object from now on, such as the child that handles it."""
        connection = self._live.pop(id(request), None)
        if connection is not None:
            self._held.pop(id(request), None)
            known = Connection(successor, self._lost, connection.client_address, connection.host)
            known.started, known.ready, known.counted = connection.started, connection.ready, connection.counted
            self._live[known.key] = known

    def remove(self, request: Any) -> Connection | None:
        """Let a request go and return what was known of it; None if it had gone before."""
        key = id(request)
        connection = self._live.pop(key, None)
        if connection is not None:
            if self._held:
                self._held.pop(key, None)
            self._gone(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        # The identifier is free for another object only after this.
        if self._live.get(connection.key) is connection:
            del self._live[connection.key]
            self._gone(connection)
            self._tell_lost(connection)

    def _gone(self, connection: Connection) -> None:
        if self._by_host is not None:
            self._uncount(connection)
        self.notify()

    def _count(self, connection: Connection) -> None:
        with self._lock:
            if self._by_host is not None:
                self._by_host[connection.host] += 1
                connection.counted = True

    def _uncount(self, connection: Connection) -> None:
        with self._lock:
            if self._by_host is not None and connection.counted:
                self._by_host[connection.host] -= 1
                if not self._by_host[connection.host]:
                    del self._by_host[connection.host]

    def notify(self) -> None:
        """Let those that wait ask their condition again."""
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `condition` holds, which is asked again whenever a request ends.

        Returns whether it does after at most `timeout` seconds; None waits without end.
        """
        with self._changed:
            self._waiting += 1
            try:
                return self._changed.wait_for(condition, timeout)
            finally:
                self._waiting -= 1


def method_of(owner: object, name: str) -> Callable[..., None]:
    """Return a function that calls a method of `owner`, looked up at the call, without keeping it alive."""
    reference = weakref.ref(owner)

    def call(*arguments: Any) -> None:
        owner = reference()
        if owner is not None:
            getattr(owner, name)(*arguments)

    return call
