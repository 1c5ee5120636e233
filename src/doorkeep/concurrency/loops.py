"""Event loops of asyncio, each in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from doorkeep.connection.peers import is_disconnect

#: Returns an event loop: uvloop's where it is installed, else asyncio's own.
new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with contextlib.suppress(ImportError):
    import uvloop

    new_event_loop = uvloop.new_event_loop
    # The first loop of libuv opens a pipe that stays while the process lives: not while somebody looks for leaks.
    new_event_loop().close()

logger = logging.getLogger("doorkeep.tasks")

Job = tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...]]


class LoopThread:
    """An event loop in a thread of its own, which ends when it is closed and its jobs are done.

    A daemon, as an idle loop is no reason for a program to go on. `KeyboardInterrupt` and `SystemExit` end the job
    that raises them; they are told to `threading.excepthook`, as those of threads are.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self._loop = self._runner.get_loop()
        self._loop.set_exception_handler(_report)
        # What is to be started; the loop is woken for the first of several.
        self._waiting: deque[Job] = deque()
        self._is_told = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="doorkeep asyncio", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._runner.close()
            raise

    # -- For any thread ------------------------------------------------------------------------------------------

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Run a coroutine function in a task and a context of its own. Not for a loop that is closed."""
        self._waiting.append((function, arguments))
        if not self._is_told:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._start_waiting)

    def close(self) -> None:
        """End the loop when its jobs are done; does not wait. To be called once."""
        self._loop.call_soon_threadsafe(self._close)

    def cancel(self) -> None:
        """Cancel the jobs that are left."""
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._cancel)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end for at most `timeout` seconds, None without end; return whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- In the loop's thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                try:
                    self._runner.run(self._ended.wait())
                except (KeyboardInterrupt, SystemExit) as error:
                    # asyncio stops the whole loop for them. The other jobs go on where they were.
                    told = (type(error), error, error.__traceback__, threading.current_thread())
                    threading.excepthook(threading.ExceptHookArgs(told))
        finally:
            self._runner.close()

    def _start_waiting(self) -> None:
        self._is_told = False  # first, so that none is overlooked that comes meanwhile
        while self._waiting:
            function, arguments = self._waiting.popleft()
            task = self._loop.create_task(function(*arguments), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(self._job_done)

    def _job_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):  # which `_run` tells of
            logger.error("a request's task failed", exc_info=error)
        if self._closing and not self._tasks:
            self._ended.set()

    def _close(self) -> None:
        self._closing = True
        if not self._tasks:
            self._ended.set()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong outside of the jobs, as in a task that a handler has started and left alone."""
    error = context.get("exception")
    if error is not None and is_disconnect(error):
        logger.debug("%s: %s", context["message"], error)
    else:
        logger.error("%s", context["message"], exc_info=error)
