"""Functions that run beside the one that starts them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from doorkeep.green.hub import current_hub
from doorkeep.green.timeouts import BoundedCondition

__all__ = ["Task", "spawn"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

logger = logging.getLogger("doorkeep.green")


class Task(Future[Result]):
    """A call that runs beside others, as `spawn` returns it; to be waited for in any hub and any thread.

    A `concurrent.futures.Future`: it has `result`, `exception`, `done`, `add_done_callback`, and `cancel`, which
    works until the call begins. If the call fails, and the task is dropped before anyone has asked for its result
    or exception, the failure is logged. Not for `concurrent.futures.wait` and `as_completed` in a hub: they would
    block it.
    """

    _unasked: BaseException | None = None

    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__()
        self._condition = BoundedCondition(threading.RLock())
        self._call: Callable[[], Result] | None = partial(copy_context().run, call)

    def run(self) -> None:
        """Make the call, unless the task is cancelled. Whatever it raises is for those who ask."""
        call, self._call = self._call, None
        if call is None or not self.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:
            self._unasked = error
            self.set_exception(error)
            del self  # the error refers to this frame by its traceback
        else:
            self.set_result(result)

    def result(self, timeout: float | None = None) -> Result:
        """Wait until the call has ended, and return what it returned or raise what it raised.

        `TimeoutError` after `timeout` seconds, None waits without end; `CancelledError` if the task was cancelled.
        """
        try:
            return super().result(timeout)
        except BaseException as error:
            if error is self._unasked:
                self._unasked = None
            raise
        finally:
            del self  # the error refers to this frame by its traceback

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait until the call has ended, and return what it raised or None; otherwise as `result`."""
        error = super().exception(timeout)
        self._unasked = None
        return error

    def __del__(self) -> None:
        if self._unasked is not None:
            logger.error("a task has failed, and nobody has asked for its result", exc_info=self._unasked)


def spawn(
    function: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Task[Result]:
    """Call a function in a greenlet of its own, or outside of a hub in a thread; return the task at once.

    It has the caller's context variables, and runs until it ends by itself: neither the caller nor a server that
    ends waits for it. `KeyboardInterrupt` and `SystemExit` of a greenlet leave the hub, as those of a handler do.
    """
    task = Task(partial(function, *args, **kwargs))
    hub = current_hub()
    if hub is None:
        name = f"spawned {getattr(function, '__name__', 'task')}"
        threading.Thread(target=task.run, name=name).start()
    else:
        hub.start(_run_in_hub, task)
    return task


def _run_in_hub(task: Task[Any]) -> None:
    task.run()
    error = task._unasked
    if isinstance(error, KeyboardInterrupt | SystemExit):
        task._unasked = None
        raise error
    del task, error  # the error refers to this frame by its traceback
