"""Events, as a test looks at them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from doorkeep.events import Event, subscribe

__all__ = ["Recorder", "events_of"]

EventType = TypeVar("EventType", bound=Event)


class Recorder(list[Event]):
    """The events of a block in the order in which they happened; threads may add to it while it is read."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def of(self, kind: type[EventType]) -> list[EventType]:
        """Return the events of one kind so far."""
        return [event for event in list(self) if isinstance(event, kind)]

    def wait_for(self, kind: type[EventType], timeout: float = 30.0, *, count: int = 1) -> EventType:
        """Return the first event of a kind, or the one that makes it `count`, and wait for it if need be.

        Raises `TimeoutError` if it has not happened within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout):
                raise TimeoutError(f"no {kind.__name__} within {timeout:g} seconds, only {list(self)}")
            return self.of(kind)[count - 1]

    def record(self, event: Event) -> None:
        """Add an event."""
        with self._changed:
            self.append(event)
            self._changed.notify_all()


@contextmanager
def events_of(*kinds: type[Event]) -> Iterator[Recorder]:
    """Record the events of these kinds, or of all kinds when none is named, while the block lasts.

    Of every server in this process; not what happens in the children of a forking server.
    """
    recorder = Recorder()
    unsubscribe = subscribe(recorder.record, *kinds)
    try:
        yield recorder
    finally:
        unsubscribe()
