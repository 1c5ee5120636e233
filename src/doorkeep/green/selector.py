"""A selector that lets other greenlets run while it waits."""

from __future__ import annotations

import time
from typing import Any

from greenlet import getcurrent, greenlet

from doorkeep.green.core import Channel, Hub

__all__ = ["GreenSelector"]


class GreenSelector:
    """Wraps a selector of `selectors`, which it asks and never lets wait: its owner's greenlet parks instead."""

    def __init__(self, hub: Hub, selector: Any) -> None:
        self._hub = hub
        self._selector = selector
        self._channels: dict[int, Channel] = {}
        self._wakes_at: float | None = None
        self._waiting: greenlet | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
        """As `selectors.BaseSelector.register`."""
        key = self._selector.register(fileobj, events, data)
        self._channels[key.fd] = Channel(self._hub, _Descriptor(key.fd))
        return key

    def unregister(self, fileobj: Any) -> Any:
        """As `selectors.BaseSelector.unregister`."""
        key = self._selector.unregister(fileobj)
        self._channels.pop(key.fd).forget()
        return key

    def get_map(self) -> Any:
        """As `selectors.BaseSelector.get_map`."""
        return self._selector.get_map()

    def select(self, timeout: float | None = None) -> list[Any]:
        """As `selectors.BaseSelector.select`, but may also return early with nothing."""
        # What happens after this look wakes us; what happened before, the look has seen.
        ready: list[Any] = self._selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is not None:
            self._wake_at(time.monotonic() + timeout)
        for channel in self._channels.values():
            channel.expect()
        self._waiting = getcurrent()
        try:
            self._hub.park()
        finally:
            self._waiting = None
            for channel in self._channels.values():
                channel.expect_no_more()
        return list(self._selector.select(0))

    def _wake_at(self, when: float) -> None:
        """See to it that the owner is woken in time; one timer serves many calls."""
        if self._wakes_at is None or when < self._wakes_at:
            self._wakes_at = when
            self._hub.call_at(when, self._time_is_up)

    def _time_is_up(self) -> None:
        self._wakes_at = None
        if self._waiting is not None:
            self._hub.wake(self._waiting)

    def close(self) -> None:
        """As `selectors.BaseSelector.close`."""
        for channel in self._channels.values():
            channel.forget()
        self._channels.clear()
        self._selector.close()

    def __enter__(self) -> GreenSelector:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Descriptor:
    """What a channel asks for its descriptor."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number
