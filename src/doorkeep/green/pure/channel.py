"""Channels: what greenlets wait for the descriptor of a socket with."""

from __future__ import annotations

import _socket
import errno
import os
import selectors
import socket
import weakref
from math import inf
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from doorkeep.green.pure.pollers import READ, WRITE

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from doorkeep.green.pure.loop import Hub
    from doorkeep.green.pure.streams import Writer

__all__ = ["BUDGET", "Channel"]

# How many calls that need not wait a greenlet may make before the others have their turn.
BUDGET = 64

# Bound once: looking them up costs a good part of what the calls themselves do in Python.
_recv = _socket.socket.recv
_recv_into = _socket.socket.recv_into
_send = _socket.socket.send

_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
_DO_NOT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
_WAIT_FOR_ALL: int = socket.MSG_WAITALL

# In place of a socket that is no more: calls fail as on a closed one, which it is.
_CLOSED = _socket.socket.__new__(_socket.socket)


class Channel:
    """A descriptor that greenlets wait for, and the calls of its socket that matter for speed.

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
        "_socket",
        "_watched",
        "_writer",
        "_writer_until",
        "collecting",
        "descriptor",
        "exposed",
        "hub",
        "readable",
        "sender",
        "timeout",
        "writable",
    )

    def __init__(self, hub: Hub, sock: Any, short_is_empty: bool = False) -> None:
        self.hub = hub
        self.descriptor: int = sock.fileno()
        self.timeout: float | None = None
        self.readable = self.writable = True
        self._socket = weakref.ref(sock)
        self._short_is_empty = short_is_empty
        self._watched = False  # for the descriptor's life
        # Who waits: nobody, mostly one greenlet, or a list of them; and the first moment that one gives up at.
        self._reader: Any = None
        self._writer: Any = None
        self._reader_until = self._writer_until = inf
        self._scheduled = inf  # when the hub will have us look at the clock
        self.collecting: Writer | None = None  # of what is to leave before anything else
        self.exposed = False
        self.sender: greenlet | None = None  # whose turn to send it is until all of something has left

    # -- The end -------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Close the channel, and have the kernel forget the descriptor, which lives on without it."""
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

    # -- Reading and writing -------------------------------------------------------------------------------------

    # Whether a descriptor blocks is for all its duplicates, which others may have, to say: each call says it itself.

    def spend(self) -> None:
        """Give way to the others once a greenlet has had its share."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            hub.budget = BUDGET
            if hub.parks():
                hub.give_way()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """As `socket.socket.recv`."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            self.spend()
        if flags and self._waits_for_all(flags):
            buffer = bytearray(size)
            return bytes(buffer[: self._fill(buffer, flags)])
        until = 0.0
        while True:
            if self.readable or flags or size == 0 or self.timeout == 0:
                try:
                    data = _recv(self._socket() or _CLOSED, size, flags | _DO_NOT_WAIT)
                except BlockingIOError:
                    self.readable = False
                    if flags & _DO_NOT_WAIT and self.timeout is None:
                        raise
                else:
                    if self._short_is_empty and len(data) < size and not flags:
                        self.readable = False
                    return data
            until = self._wait(False, until)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.socket.recv_into`."""
        self.spend()
        size = nbytes or memoryview(buffer).nbytes
        if flags and self._waits_for_all(flags):
            return self._fill(memoryview(buffer).cast("B")[:size], flags)
        until = 0.0
        while True:
            if self.readable or flags or size == 0 or self.timeout == 0:
                try:
                    length = _recv_into(self._socket() or _CLOSED, buffer, nbytes, flags | _DO_NOT_WAIT)
                except BlockingIOError:
                    self.readable = False
                    if flags & _DO_NOT_WAIT and self.timeout is None:
                        raise
                else:
                    if self._short_is_empty and length < size and not flags:
                        self.readable = False
                    return length
            until = self._wait(False, until)

    def _waits_for_all(self, flags: int) -> bool:
        """Return whether a call waits until its buffer is full, which the kernel does for blocking sockets only."""
        return (
            flags & (_WAIT_FOR_ALL | _DO_NOT_WAIT | socket.MSG_PEEK | socket.MSG_OOB) == _WAIT_FOR_ALL
            and self.timeout is None
            and (self._socket() or _CLOSED).getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        )

    def _fill(self, buffer: WriteableBuffer, flags: int) -> int:
        """Receive until the buffer is full or no more can come; return how many bytes there are."""
        view = memoryview(buffer)
        done = 0
        try:
            while done < len(view):
                length = self.recv_into(view[done:], 0, flags & ~_WAIT_FOR_ALL)
                if not length:
                    break
                done += length
        except OSError:
            if not done:
                raise
        return done

    def flush(self) -> None:
        """Send what a writer has collected, which comes before anything else that is sent; in the hub's thread.

        Not amid what the current greenlet keeps its turn for.
        """
        writer = self.collecting
        if writer is not None and self.hub.is_in_thread() and self.sender is not getcurrent():
            self.collecting = None
            writer.flush()

    def settle(self) -> None:
        """Send what the current greenlet's writer has collected; another's, as far as that takes no waiting.

        What sending it meets, the writer raises when it is next used.
        """
        writer = self.collecting
        if writer is not None and self.hub.is_in_thread():
            if writer in self.hub.unflushed:
                writer.send_collected()
            else:
                writer.send_now()

    def expose(self) -> None:
        """Let writers collect nothing from now on: the program knows the descriptor, and may write to it itself."""
        self.exposed = True
        self.settle()

    # What takes several calls to send keeps its turn: others that send on the same connection wait for its end.

    def take_turn(self, until: float = 0.0, flags: int = 0) -> float:
        """Wait until what comes before what is to be sent has left; return the moment that the call times out at.

        That is what a writer has collected, and the rest of what another greenlet sends. Raises as `wait_readable`.
        """
        if self.collecting is not None:
            self.flush()
        return self._wait_for_turn(flags, until)

    def keep_turn(self) -> bool:
        """Let no other greenlet send until `end_turn`; return False if there is none, or it cannot be had."""
        if self.sender is not None or not self.hub.is_in_thread():
            return False
        self.sender = getcurrent()
        return True

    def end_turn(self) -> None:
        """Let the others send again."""
        self.sender = None
        self._wake_writer()

    def _is_others_turn(self) -> bool:
        return self.sender is not None and self.hub.parks() and self.sender is not getcurrent()

    def _wait_for_turn(self, flags: int, until: float) -> float:
        while self._is_others_turn():
            if flags & _DO_NOT_WAIT and self.timeout is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            until = self._wait(True, until)
            if monotonic() >= until and self._is_others_turn():
                raise TimeoutError("timed out")
        return until

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """As `socket.socket.send`."""
        self.spend()
        return self._transmit(data, flags, 0)[0]

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """As `socket.socket.sendall`: `timeout` is for all of it."""
        hub = self.hub
        hub.budget -= 1
        if hub.budget < 0:
            self.spend()
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        done, until = self._transmit(data, flags, 0)
        if done < size:
            with memoryview(data) as view, view.cast("B") as whole, whole[done:] as rest:
                self._transmit_rest(rest, flags, until)

    def _transmit(self, data: ReadableBuffer, flags: int, until: float) -> tuple[int, float]:
        if self.collecting is not None:
            self.flush()
        while True:
            if self.sender is not None:
                until = self._wait_for_turn(flags, until)
            length = self.send_now(data, flags)
            if length is not None:
                return length, until
            until = self._wait(True, until)

    def _transmit_rest(self, data: memoryview, flags: int, until: float) -> None:
        done = 0
        kept = self.keep_turn()
        try:
            while done < len(data):
                self.spend()
                length = self.send_now(data[done:], flags)
                if length is None:
                    until = self._wait(True, until)
                else:
                    done += length
        finally:
            if kept:
                self.end_turn()

    def send_now(self, data: ReadableBuffer, flags: int = 0) -> int | None:
        """Send what there is room for; return None if there is none."""
        if not (self.writable or flags or self.timeout == 0):
            return None
        try:
            return _send(self._socket() or _CLOSED, data, flags | _NO_SIGNAL | _DO_NOT_WAIT)
        except BlockingIOError:
            self.writable = False
            if flags & _DO_NOT_WAIT and self.timeout is None:
                raise
            return None


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
