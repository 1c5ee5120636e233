"""What greenlets wait for a descriptor with."""

from __future__ import annotations

import errno
import os
import selectors
from math import inf
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from doorkeep.green.pure.pollers import READ, WRITE

if TYPE_CHECKING:
    from doorkeep.green.pure.loop import Hub

__all__ = ["BUDGET", "Waitable"]

# How many calls that need not wait a greenlet may make before the others have their turn.
BUDGET = 64


class Waitable:
    """A descriptor that greenlets wait for.

    It remembers whether the descriptor is known to be unready, so that most calls of the kernel are ones that
    succeed, and waits where they fail: in the hub it was made for by parking, elsewhere by blocking the thread.
    `timeout`, seconds or None, is that of a socket, for each call as a whole. `sock` must not block, and is not kept
    alive; `short_is_empty` is whether after fewer bytes than asked for there can be none left, as in a TCP stream.
    """

    __slots__ = (
        "__weakref__",
        "_reader",
        "_reader_until",
        "_scheduled",
        "_short_is_empty",
        "_watched",
        "_writer",
        "_writer_until",
        "descriptor",
        "hub",
        "readable",
        "timeout",
        "writable",
    )

    def __init__(self, hub: Hub, sock: Any, short_is_empty: bool = False) -> None:
        self.hub = hub
        self.descriptor: int = sock.fileno()
        self.timeout: float | None = None
        self.readable = self.writable = True
        self._short_is_empty = short_is_empty
        self._watched = False  # for the descriptor's life
        # Who waits: nobody, mostly one greenlet, or a list of them; and the first moment that one gives up at.
        self._reader: Any = None
        self._writer: Any = None
        self._reader_until = self._writer_until = inf
        self._scheduled = inf  # when the hub will have us look at the clock

    # -- The end -------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Close it, and have the kernel forget the descriptor, which lives on without."""
        self.hub.forget(self, in_kernel=True)
        self.close()

    def close(self) -> None:
        """Wait no more: whoever waits gets `OSError` (EBADF). For any thread; the descriptor stays open."""
        # A poller that does not forget descriptors when they are closed must be told before.
        self.hub.forget(self, in_kernel=not self._watched)
        self.descriptor = -1
        if self._reader is None and self._writer is None:
            return
        if get_ident() == self.hub.thread and not self.hub.waiting:  # as in a signal handler
            self.wake_all()
        else:
            self.hub.call_from_thread(self.wake_all)

    def wake_all(self) -> None:
        """Have all who wait look for themselves."""
        self._wake_reader()
        self._wake_writer()

    def look_again(self) -> None:
        """Forget what was remembered, as it may not be true any more."""
        self.readable = self.writable = True
        self._scheduled = inf
        self.wake_all()

    def _wake_reader(self) -> None:
        waiter, self._reader = self._reader, None
        _wake(self.hub, waiter)

    def _wake_writer(self) -> None:
        waiter, self._writer = self._writer, None
        _wake(self.hub, waiter)

    # -- What the hub tells --------------------------------------------------------------------------------------

    def happened(self, events: int) -> None:
        """Wake those who wait for what has happened, in the terms of `Poller`."""
        if events & ~(READ | WRITE):
            # The end of the stream, or urgent data, follows what is there: a short read says no more that nothing is.
            self._short_is_empty = False
            self.readable = self.writable = True
        if events & READ:
            self.readable = True
        if events & WRITE:
            self.writable = True
        if self._reader is not None and self.readable:
            self._wake_reader()
        if self._writer is not None and self.writable:
            self._wake_writer()

    def look_at_clock(self, now: float) -> None:
        """Wake those whose time is up, and see to it that the others are looked at again."""
        if self._reader_until <= now:
            self._reader_until = inf
            self._wake_reader()
        if self._writer_until <= now:
            self._writer_until = inf
            self._wake_writer()
        if self._scheduled <= now:
            self._scheduled = inf
            self._see_to_it(min(self._reader_until, self._writer_until))

    def _see_to_it(self, until: float) -> None:
        """Have the hub look at the clock by then: one entry of its serves many calls."""
        if until < self._scheduled:
            self._scheduled = until
            self.hub.schedule(until, self)

    # -- Waiting -------------------------------------------------------------------------------------------------

    def wait_readable(self, until: float = 0.0) -> float:
        """Wait until the descriptor may be readable, after a call that says it is not; no wake-up ends it before.

        Returns the moment that the call times out at, which a call that must wait again gives the next time. Raises
        `TimeoutError` then, `timeout` seconds after the first wait, `BlockingIOError` if that is 0, `OSError` (EBADF)
        once closed.
        """
        self.readable = False
        while not self.readable:
            until = self._wait(False, until)
        return until

    def wait_writable(self, until: float = 0.0) -> float:
        """Wait until the descriptor may be writable, as `wait_readable` does for the other way."""
        self.writable = False
        while not self.writable:
            until = self._wait(True, until)
        return until

    def expect(self) -> None:
        """Have the current greenlet woken when the descriptor may have become ready; it parks itself."""
        self._reader = getcurrent()
        self._watch()

    def expect_no_more(self) -> None:
        """Undo `expect`."""
        self._reader = None
        self._watch()

    def _watch(self) -> None:
        """Have the kernel tell what somebody waits for."""
        if not self._watched and self.descriptor >= 0:
            events = (READ if self._reader is not None else 0) | (WRITE if self._writer is not None else 0)
            self._watched = self.hub.watch(self, events)

    def _wait(self, to_write: bool, until: float) -> float:
        """Wait until the descriptor may be ready, or until `until`; return that, to be given the next time.

        It is when the call times out, 0 if it has not waited before.
        """
        if self.descriptor < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if until == 0:
            if self.timeout == 0:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            until = inf if self.timeout is None else monotonic() + self.timeout
        if self.hub.parks():
            self._wait_in_hub(to_write, until)
        else:
            self._wait_in_thread(to_write, until)
        return until

    def _wait_in_hub(self, to_write: bool, until: float) -> None:
        # Should `park` raise, we are left behind here, and woken once for nothing: all that wait allow for it.
        current = getcurrent()
        if to_write:
            alone = self._writer is None
            self._writer = current if alone else _joined(self._writer, current)
            self._writer_until = until if alone else min(self._writer_until, until)
        else:
            alone = self._reader is None
            self._reader = current if alone else _joined(self._reader, current)
            self._reader_until = until if alone else min(self._reader_until, until)
        if until < self._scheduled:
            self._see_to_it(until)
        if self._watched:
            self.hub.park()
        else:
            self._watch()
            try:
                self.hub.park()
            finally:
                self._watch()
        if until < inf and not (self.writable if to_write else self.readable) and monotonic() >= until:
            raise TimeoutError("timed out")

    def _wait_in_thread(self, to_write: bool, until: float) -> None:
        with _ThreadSelector() as selector:
            selector.register(self.descriptor, selectors.EVENT_WRITE if to_write else selectors.EVENT_READ)
            if not selector.select(None if until == inf else max(until - monotonic(), 0)):
                raise TimeoutError("timed out")
        self.readable = self.writable = True

    def spend(self) -> None:
        """Give way to the others once a greenlet has had its share."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            hub.budget = BUDGET
            if hub.parks():
                hub.give_way()


# Needs no descriptor of its own where there is poll(2).
_ThreadSelector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


def _joined(waiter: Any, current: greenlet) -> Any:
    """Return those that wait for the same: mostly one greenlet, else a list of them."""
    if waiter is current:
        return current
    if type(waiter) is not list:
        return [waiter, current]
    return waiter if current in waiter else [*waiter, current]


def _wake(hub: Hub, waiter: Any) -> None:
    if type(waiter) is list:
        hub.ready.extend(waiter)
    elif waiter is not None:
        hub.ready.append(waiter)
