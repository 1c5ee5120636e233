"""How often a host may come, counted by the `limits` library."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from doorkeep.errors import SettingError
from doorkeep.events import RateLimitFailed

if TYPE_CHECKING:
    from doorkeep.acceptor import Acceptor

__all__ = ["RateLimiter"]

_MEMORY = "memory://"
# Seconds that the accepting thread waits for an answer.
_PATIENCE = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


class RateLimiter:
    """Counts the requests of each host in a moving window.

    The store is memory, or what `rate_limit_storage` names, such as "redis://127.0.0.1:6379/0". When that store
    fails, an event tells, and for the next `PAUSE` seconds this process counts for itself: a store that does not
    answer is not to hold up every client.
    """

    PAUSE = 5.0

    def __init__(self) -> None:
        self._counting: _Counting | None = None
        self._ask_store_at = 0.0

    def prepare(self, server: Acceptor) -> None:
        """Read the settings again if they have changed.

        Raises `SettingError` where the library, or the store's driver, is missing.
        """
        rate, storage = server.rate_limit, server.rate_limit_storage
        counting = self._counting
        if rate is None or (counting is not None and (counting.rate, counting.storage) == (rate, storage)):
            return
        store = None if storage is None else _Window(rate, storage)
        self._counting = _Counting(rate, storage, _MemoryWindow(rate), store)
        self._ask_store_at = 0.0

    def allows(self, server: Acceptor, host: str) -> bool:
        """Count a request of `host` and return whether it is within the rate."""
        self.prepare(server)
        counting = self._counting
        if counting is None:
            return True
        if counting.store is not None and time.monotonic() >= self._ask_store_at:
            try:
                return counting.store.hit(host)
            except Exception as error:
                self._ask_store_at = time.monotonic() + self.PAUSE
                if RateLimitFailed.listeners:
                    RateLimitFailed(server._itself, error).emit()
        return counting.memory.hit(host)

    def close(self) -> None:
        """Close the connections to the store; the next request opens them again."""
        if self._counting is not None and self._counting.store is not None:
            self._counting.store.close()


@dataclass(frozen=True)
class _Counting:
    rate: str
    storage: str | None
    memory: _MemoryWindow
    store: _Window | None


class _Window:
    """A moving window over the hits of each host, in one store."""

    def __init__(self, rate: str, storage: str) -> None:
        try:
            from limits import parse
            from limits.errors import ConfigurationError
            from limits.storage import storage_from_string
            from limits.strategies import MovingWindowRateLimiter
        except ImportError:
            raise SettingError("rate_limit needs the `limits` library: pip install 'doorkeep[rate-limit]'") from None
        if storage.startswith("async+"):
            raise SettingError(f"rate_limit_storage {storage!r} is for asyncio; leave out 'async+'")
        self._item = parse(rate)
        try:
            self._storage: Any = storage_from_string(storage, **(_PATIENCE if storage.startswith("redis") else {}))
            self._strategy = MovingWindowRateLimiter(self._storage)
        except (ConfigurationError, NotImplementedError, ValueError) as error:
            raise SettingError(f"rate_limit_storage {storage!r} cannot be used: {error}") from None

    def hit(self, host: str) -> bool:
        """Count a request and return whether it is within the rate."""
        return bool(self._strategy.hit(self._item, host))

    def close(self) -> None:
        """Close the connections of a store that has any; the library leaves that to its client."""
        pool = getattr(getattr(self._storage, "storage", None), "connection_pool", None)
        if pool is not None:
            pool.disconnect()


class _MemoryWindow(_Window):
    """Forgets the hosts that have not come for long, which the library's own store never does (limits 5.8)."""

    FEW = 1000

    def __init__(self, rate: str) -> None:
        super().__init__(rate, _MEMORY)
        self._lock = threading.Lock()
        self._forget_at = self.FEW

    def hit(self, host: str) -> bool:
        with self._lock:
            if len(self._storage.events) >= self._forget_at:
                self._forget()
                self._forget_at = self.FEW + 2 * len(self._storage.events)
            return super().hit(host)

    def _forget(self) -> None:
        for key in list(self._storage.events):
            with self._storage.locks[key]:  # the store's own thread looks through it too
                _, hits = self._storage.get_moving_window(key, self._item.amount, self._item.get_expiry())
                if not hits:
                    self._storage.clear(key)
