"""Asking the kernel which descriptors are ready: by epoll(7) where it exists, by `selectors` elsewhere."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
from collections.abc import Callable
from typing import Protocol

__all__ = ["LONGEST_WAIT", "READ", "WRITE", "EpollPoller", "Poller", "SelectorsPoller", "Waker", "make_poller"]

# What may have happened to a descriptor, in the numbers of epoll(7). Any other bit says that the stream has ended,
# failed, or holds urgent data.
READ = 0x001
WRITE = 0x004

# Seconds; the kernel takes no more milliseconds than fit into an int.
LONGEST_WAIT = float(1 << 20)


class Poller(Protocol):
    """Waits for many descriptors."""

    def watch(self, descriptor: int, events: int) -> bool:
        """Wait for these events of a descriptor from now on, and for none but these.

        Returns whether this holds for all events until the descriptor is closed, so that no more need be said.
        Raises `OSError` if the descriptor cannot be waited for.
        """

    def forget(self, descriptor: int) -> None:
        """Wait for a descriptor no more, which may be unknown."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return descriptors with what has happened to them; wait for at most `timeout` seconds, None without end.

        Lets signal handlers run meanwhile, and raises what they raise.
        """

    def close(self) -> None:
        """Free what is held."""


class EpollPoller:
    """Tells of each change once, and takes a descriptor's registration once for its life."""

    _EVENTS = READ | WRITE | getattr(select, "EPOLLPRI", 0) | getattr(select, "EPOLLRDHUP", 0)

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.poll = self._epoll.poll
        self.close = self._epoll.close

    def watch(self, descriptor: int, events: int) -> bool:
        every_change = self._EVENTS | select.EPOLLET
        try:
            self._epoll.register(descriptor, every_change)
        except FileExistsError:
            self._epoll.modify(descriptor, every_change)  # has it looked at anew
        return True

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(descriptor)


class SelectorsPoller:
    """Tells of what holds, again and again: only what somebody waits for may be watched."""

    def __init__(self, make_selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector) -> None:
        self._selector = make_selector()
        self.close = self._selector.close

    def watch(self, descriptor: int, events: int) -> bool:
        interest = (selectors.EVENT_READ if events & READ else 0) | (selectors.EVENT_WRITE if events & WRITE else 0)
        if not interest:
            self.forget(descriptor)
            return False
        try:
            self._selector.modify(descriptor, interest)
        except KeyError:
            self._selector.register(descriptor, interest)
        return False

    def forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in self._selector.select(timeout)
        ]


def make_poller() -> Poller:
    """Return the best poller of this system; `DOORKEEP_PURE=selectors` asks for the one that exists everywhere."""
    if os.environ.get("DOORKEEP_PURE") == "selectors" or not hasattr(select, "epoll"):
        return SelectorsPoller()
    return EpollPoller()


class Waker:
    """A descriptor that any thread, and any signal handler, can make readable: of eventfd(2) or a pair of sockets."""

    def __init__(self) -> None:
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if hasattr(os, "eventfd"):
            self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self._pair = socket.socketpair()
            for end in self._pair:
                end.setblocking(False)
            self.descriptor = self._pair[0].fileno()

    def wake(self) -> None:
        """Make the descriptor readable."""
        with contextlib.suppress(BlockingIOError):  # it is so in plenty
            if self._pair is None:
                os.eventfd_write(self.descriptor, 1)
            else:
                self._pair[1].send(b"\0")

    def clear(self) -> None:
        """Make it unreadable until the next `wake`."""
        with contextlib.suppress(BlockingIOError):
            if self._pair is None:
                os.eventfd_read(self.descriptor)
            else:
                self._pair[0].recv(4096)

    def close(self) -> None:
        """Free the descriptor."""
        if self._pair is None:
            os.close(self.descriptor)
        else:
            for end in self._pair:
                end.close()
