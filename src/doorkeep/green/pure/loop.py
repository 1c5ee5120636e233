"""The hub: the loop that runs greenlets, each until it has to wait.

There is no greenlet that does nothing but schedule. Whoever waits calls `Hub.park`, which finds on the caller's own
stack who is next, by asking the kernel if need be, and switches there; a caller that is itself next goes on without
a switch. The hub's greenlet, which has called `run`, gets control only when a worker has ended, when a new one is
needed, when a signal handler has raised, and when somebody wakes it.

Wake-ups may be spurious, everywhere: who waits looks in a loop whether there is still reason to. Nothing here may be
called from another thread than the hub's, save where it says so.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from greenlet import getcurrent, greenlet

from doorkeep.green.pure.pollers import LONGEST_WAIT, READ, Waker, make_poller
from doorkeep.green.pure.waitable import BUDGET, Waitable

if TYPE_CHECKING:
    from doorkeep.green.pure.streams import Writer

__all__ = ["NAME", "Hub", "Timer"]

NAME = "Python"

# How many greenlets without a job are kept for the next.
IDLE_GREENLETS = 64
# Fewer cancelled timers than this are not worth looking for.
MANY_TIMERS = 64


class Job:
    """A function and its arguments, to be called in a greenlet."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments


class Timer:
    """A function to be called at a moment, unless `cancel` is called first."""

    __slots__ = ("_hub", "function")

    def __init__(self, hub: Hub, function: Callable[[], object]) -> None:
        self._hub = hub
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """See to it that the function is not called; it may have been already."""
        if self.function is not None:
            self.function = None
            self._hub.timer_cancelled()

    def look_at_clock(self, now: float) -> None:
        """Call the function, as its moment has come."""
        function, self.function = self.function, None
        if function is not None:
            _call_safely(function)


class _LooksAtClock(Protocol):
    def look_at_clock(self, now: float) -> None: ...


class Hub:
    """Runs greenlets: each until it waits, then another that need wait no longer.

    It belongs to the thread that makes it. Programs call `doorkeep.green.hub.run`, which finds or makes the hub.
    `thread` is that thread's identifier; `running` is whether `run` is; `waiting`, whether all wait for the kernel;
    `current` is the greenlet that has last gone on, at `resumed` (seconds of `time.monotonic`, to within a few
    milliseconds), and `switches` grows with each that does; `workers` is how many greenlets for jobs there are;
    `unflushed` are the writers that have collected bytes of the current greenlet, which leave by the outbox when it
    waits.
    """

    def __init__(self) -> None:
        self.thread = get_ident()
        self.greenlet: greenlet = getcurrent()  # who called `run`
        self.running = False
        self.waiting = False
        self.switches = 0
        self.current = self.greenlet
        self.resumed = 0.0
        self.workers = 0
        self.unflushed: list[Writer] = []
        self._outbox: deque[tuple[greenlet, list[Writer]]] = deque()  # of those that wait
        self._late: dict[greenlet, list[Writer]] = {}  # what has to be waited for
        # For what is waited for: how many calls the current greenlet may still make, and who is to run.
        self.budget = BUDGET
        self.ready: deque[Any] = deque()  # greenlets, and jobs that are not begun
        self._turn = 0  # how many of them run before the kernel is asked again
        self._job: Job | None = None  # for the worker that is switched to
        self._idle: list[greenlet] = []
        self._errors: dict[greenlet, BaseException] = {}
        self._attention = False  # whether the hub's greenlet is to have control
        self._error: BaseException | None = None  # for whoever called `run`
        self._closing = False
        self._timers: list[tuple[float, int, _LooksAtClock]] = []
        self._timer_numbers = count()
        self._cancelled = 0  # how many timers have been, of those that are still here or have been since
        self._calls: deque[Callable[[], object]] = deque()
        self._awakened = False
        self._waitables: dict[int, Waitable] = {}  # by descriptor
        self._poller = make_poller()
        self._waker = Waker()
        self._poller.watch(self._waker.descriptor, READ)

    # -- Running -------------------------------------------------------------------------------------------------

    def run(self, done: Callable[[], bool]) -> None:
        """Run greenlets in the current one until `done`, which is asked whenever this one has control.

        Raises what ends a worker, and what a signal handler raises while all wait; may be called again then.
        """
        self.greenlet = getcurrent()
        self.running = True
        try:
            while not done():
                self._switch_to_next()
        finally:
            self.running = False
            if self._job is not None:
                self.ready.append(self._job)
                self._job = None

    def _switch_to_next(self) -> None:
        self._attention = False
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        target = self._next() if self._job is None else self.greenlet
        if target is not self.greenlet:
            target.switch()
        elif self._job is not None:
            greenlet(self._work, self.greenlet).switch()

    def close(self) -> None:
        """End the workers that have no job, and free the descriptors. Who waits afterwards blocks the thread."""
        self._closing = True
        self.greenlet = getcurrent()
        while self._idle:
            self._idle.pop().switch()
        self._poller.close()
        self._waker.close()
        self._waitables.clear()

    def start(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a greenlet call a function with these arguments, in a context of its own, soon.

        What it raises ends the greenlet and is raised by `run`.
        """
        self.ready.append(Job(function, arguments))

    def _work(self) -> None:
        self.workers += 1
        try:
            self._do_jobs()
        finally:
            self.workers -= 1

    def _do_jobs(self) -> None:
        me = self.current = getcurrent()
        self._begin_turn()
        while not self._closing:
            while self._job is not None:
                # Each job in a context of its own, as a thread has.
                me.gr_context = None
                self._call_job()
                if self.unflushed:
                    self._flush()
                if self._turn and self.ready[0].__class__ is Job:
                    self._turn -= 1
                    self._job = self.ready.popleft()
                    self._begin_turn()
            if len(self._idle) >= IDLE_GREENLETS:
                break
            self._idle.append(me)
            try:
                self._wait_for_job()
            except BaseException:  # of a signal handler, before it was our turn
                if me in self._idle:
                    self._idle.remove(me)
                raise

    def _wait_for_job(self) -> None:
        while self._job is None and not self._closing:
            self.park()

    def _call_job(self) -> None:
        job, self._job = self._job, None
        assert job is not None
        function, arguments = job.function, job.arguments
        try:
            function(*arguments)
        finally:
            del job, function, arguments  # an exception that somebody keeps refers to this frame

    def park(self) -> None:
        """Let others run until the current greenlet is woken, or longer; also returns without a reason.

        What the greenlet's writers have collected is sent meanwhile. Raises what `interrupt` was given.
        """
        current = getcurrent()
        if self.unflushed:
            self._outbox.append((current, self.unflushed))
            self.unflushed = []
        target = self._next()
        if target is not current:
            target.switch()
        self.current = current
        self._begin_turn()
        error = self._errors.pop(current, None) if self._errors else None
        if self._late:
            self._resumed_late(current, error)
        if error is not None:
            raise error

    def _resumed_late(self, current: greenlet, error: BaseException | None) -> None:
        """Send what the outbox could not; one that is interrupted leaves it until it waits the next time."""
        writers = self._late.pop(current, None)
        if writers is not None:
            self.unflushed += writers
            if error is None:
                self._flush()

    def _send_outbox(self) -> None:
        """Send what those have collected that wait; have them do it themselves where that takes waiting."""
        while self._outbox:
            current, writers = self._outbox[0]
            late = [writer for writer in writers if not writer.send_now()]
            if late:
                self._late[current] = self._late.get(current, []) + late
                self.ready.append(current)
            self._outbox.popleft()

    def _begin_turn(self) -> None:
        self.resumed = monotonic()
        self.budget = BUDGET
        self.switches += 1

    def _flush(self) -> None:
        while self.unflushed:
            self.unflushed.pop().send_collected()

    def wake(self, greenlet: greenlet) -> None:
        """Have a greenlet that has parked go on soon."""
        self.ready.append(greenlet)

    def attend(self) -> None:
        """Have `run` ask whether it is done."""
        self._attention = True

    def give_way(self) -> None:
        """Let all others that can have their turn."""
        self.ready.append(getcurrent())
        self.park()

    def interrupt(self, greenlet: greenlet, error: BaseException) -> None:
        """Raise an exception where a greenlet has parked, or parks next, and not one that was to be raised there."""
        self._errors[greenlet] = error
        self.ready.append(greenlet)

    def interrupt_of(self, greenlet: greenlet) -> BaseException | None:
        """Return what is still to be raised where a greenlet has parked."""
        return self._errors.get(greenlet)

    def forget_interrupt(self, greenlet: greenlet, error: BaseException) -> bool:
        """Undo `interrupt`; return whether that was in time."""
        if self._errors.get(greenlet) is error:
            del self._errors[greenlet]
            return True
        return False

    def _next(self) -> greenlet:
        """Return whom to switch to; a worker and the hub's greenlet find `_job` to be done then."""
        ready = self.ready
        while True:
            if self._attention:
                self._send_outbox()
                return self.greenlet
            if self._turn:
                # Nothing is called from here to the switch: a signal handler that raised in between would lose `first`.
                first = ready[0]
                if first.__class__ is Job:
                    # A greenlet begins on the stack of whoever starts it: were it another than the hub's, they would
                    # pile up.
                    target = self._idle.pop() if self._idle else self.greenlet
                    self._job = first
                else:
                    target = first
                del ready[0]
                self._turn -= 1
                return target
            self._poll()

    def parks(self) -> bool:
        """Return whether the caller may park: it is in one of our greenlets, and not in a signal handler."""
        return self.running and not self.waiting and get_ident() == self.thread and getcurrent() is not self.greenlet

    def is_in_thread(self) -> bool:
        """Return whether the caller is in the thread that runs the hub."""
        return self.running and get_ident() == self.thread

    def busy(self) -> bool:
        """Return whether there are greenlets with something to do."""
        return self.workers > len(self._idle) or any(item.__class__ is Job for item in self.ready)

    # -- Waiting for the kernel ----------------------------------------------------------------------------------

    def _poll(self) -> None:
        """Wake all whom the kernel, the clock or another thread has something for; wait until there is one."""
        waitables = self._waitables
        try:
            # Right one after the other, which wakes a peer once and not each time that it has nothing left to do.
            self._send_outbox()
            for descriptor, events in self._wait_for_events():
                waitable = waitables.get(descriptor)
                if waitable is not None:
                    waitable.happened(events)
                elif descriptor == self._waker.descriptor:
                    self._make_calls()
            if self._timers:
                self._look_at_clock()
        except BaseException as error:
            # A signal handler has raised, which is for whoever called `run`. What the kernel told may be lost.
            self.waiting = False
            self._error = error
            self._attention = True
            for waitable in list(waitables.values()):
                waitable.look_again()
        self._turn = len(self.ready)

    def _wait_for_events(self) -> list[tuple[int, int]]:
        if self.ready or self._calls:
            return self._poller.poll(0)
        timeout = None
        if self._timers:
            timeout = min(max(self._timers[0][0] - monotonic(), 0), LONGEST_WAIT)
        self.waiting = True
        events = self._poller.poll(timeout)
        self.waiting = False
        return events

    def call_from_thread(self, function: Callable[[], object]) -> None:
        """Have the hub call a function soon, between greenlets; for any thread and any signal handler.

        The function must not park. What it raises goes to `sys.excepthook`. After `close` it is not called.
        """
        self._calls.append(function)
        if not self._awakened:
            self._awakened = True
            if not self._closing:
                self._waker.wake()

    def _make_calls(self) -> None:
        self._waker.clear()
        self._awakened = False
        while self._calls:
            _call_safely(self._calls.popleft())

    # -- Time ----------------------------------------------------------------------------------------------------

    def call_at(self, when: float, function: Callable[[], object]) -> Timer:
        """Have the hub call a function when `time.monotonic` says `when`, between greenlets.

        The function must not park. What it raises goes to `sys.excepthook`.
        """
        timer = Timer(self, function)
        self.schedule(when, timer)
        return timer

    def timer_cancelled(self) -> None:
        """Note that a timer will do nothing; once they are the most of all, forget them, for some are far from due."""
        self._cancelled += 1
        if self._cancelled > MANY_TIMERS and 2 * self._cancelled > len(self._timers):
            self._timers = [
                entry for entry in self._timers if not isinstance(entry[2], Timer) or entry[2].function is not None
            ]
            heapify(self._timers)
            self._cancelled = 0

    def schedule(self, when: float, item: _LooksAtClock) -> None:
        """Have an object look at the clock at a moment."""
        heappush(self._timers, (when, next(self._timer_numbers), item))

    def _look_at_clock(self) -> None:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            heappop(self._timers)[2].look_at_clock(now)

    # -- Descriptors ---------------------------------------------------------------------------------------------

    def watch(self, waitable: Waitable, events: int) -> bool:
        """Have the kernel tell of these events; return whether it will of all, from now on.

        Raises `OSError` if the kernel will not.
        """
        lasts = self._poller.watch(waitable.descriptor, events)
        self._waitables[waitable.descriptor] = waitable
        return lasts

    def forget(self, waitable: Waitable, in_kernel: bool) -> None:
        """Tell it nothing more; nor is the kernel to, which forgets closed descriptors by itself."""
        # The number may be another's by now.
        if self._waitables.get(waitable.descriptor) is waitable:
            del self._waitables[waitable.descriptor]
            if in_kernel:
                self._poller.forget(waitable.descriptor)


def _call_safely(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
