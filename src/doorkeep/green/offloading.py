"""Calls that would block a hub, made in threads."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from doorkeep.green.hub import current_hub
from doorkeep.green.tasks import Task

__all__ = ["OffloadPool", "offload", "offload_pool"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def offload(function: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
    """Call a function that blocks in a thread of `offload_pool`, wait while other greenlets run, and return its result.

    Raises what it raises. It has the caller's context variables; outside of a hub it is simply called. If the wait
    is ended, as by `timeout`, a call that has not begun is left out. One that has goes on, and its result is
    dropped, its exception logged.
    """
    if current_hub() is None:
        return function(*args, **kwargs)
    task = Task(partial(function, *args, **kwargs))
    offload_pool.submit(task)
    try:
        return task.result()
    finally:
        task.cancel()
        del task  # its exception refers to this frame by its traceback


class OffloadPool:
    """Threads that start as they are needed: `size` at the most, beyond which calls wait in their order.

    One that has had nothing to do for `linger` seconds ends. Both may be changed at any time, for the calls to come.
    The program's end waits for calls in progress.
    """

    def __init__(self, size: int = 32, linger: float = 0.1) -> None:
        self.size = size
        self.linger = linger
        self.forget_threads()

    def forget_threads(self) -> None:
        """Begin anew, as a child process does, which has none of its parent's threads."""
        self._tasks: deque[Task[Any]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def submit(self, task: Task[Any]) -> None:
        """Have a thread run a task. `RuntimeError` if none can be started, and there is none."""
        with self._changed:
            self._tasks.append(task)
            if self._idle >= len(self._tasks):
                self._changed.notify()
            elif self._threads < self.size:
                self._start_thread()

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._work, name="offload").start()
        except RuntimeError:
            if self._threads == 0:
                self._tasks.pop()
                raise
        else:
            self._threads += 1

    def _work(self) -> None:
        while task := self._next_task():
            task.run()
            del task  # not to live on while we wait for another

    def _next_task(self) -> Task[Any] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._tasks, self.linger)
            self._idle -= 1
            if self._tasks and self._threads <= self.size:
                return self._tasks.popleft()
            self._threads -= 1
            self._changed.notify()  # another is to take what we may have been woken for
            return None


offload_pool = OffloadPool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=offload_pool.forget_threads)
