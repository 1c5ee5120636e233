"""The hub of a thread: running functions in it, and finding it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent

from doorkeep.green.core import Hub

__all__ = ["current_hub", "hub_of_thread", "run"]

Result = TypeVar("Result")

_local = threading.local()


def hub_of_thread() -> Hub | None:
    """Return the hub of this thread, which may have ended running while greenlets of it are left; or None."""
    hub: Hub | None = getattr(_local, "hub", None)
    return hub


def current_hub() -> Hub | None:
    """Return the hub that the caller can wait in; None outside of one, where waiting blocks the thread."""
    hub: Hub | None = getattr(_local, "hub", None)
    return hub if hub is not None and hub.parks() else None


class _Outcome:
    """What the main function of `run` has come to."""

    def __init__(self) -> None:
        self.done = False
        self.greenlet: Any = None
        self.result: Any = None
        self.error: BaseException | None = None


def run(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in a greenlet of this thread's hub, and run the hub until it returns.

    Returns what it returns and raises what it raises. An exception that ends another greenlet, as
    `KeyboardInterrupt` does, is raised in the function first, so that it can clean up. Greenlets that are still
    there afterwards stand still until the hub runs again in this thread.
    """
    if current_hub() is not None:
        return function(*arguments)
    hub = hub_of_thread() or Hub()
    _local.hub = hub
    outcome = _Outcome()

    def main() -> None:
        outcome.greenlet = getcurrent()
        try:
            outcome.result = function(*arguments)
        except BaseException as error:
            outcome.error = error
        outcome.done = True
        hub.attend()

    hub.start(main)
    try:
        _run_until(hub, outcome)
    finally:
        if not hub.busy():
            del _local.hub
            hub.close()
    if outcome.error is not None:
        try:
            raise outcome.error
        finally:
            del outcome  # its traceback refers to this frame
    result: Result = outcome.result
    return result


def _run_until(hub: Hub, outcome: _Outcome) -> None:
    while not outcome.done:
        try:
            hub.run(lambda: outcome.done)
        except BaseException as error:
            if outcome.greenlet is None or outcome.done:
                raise
            hub.interrupt(outcome.greenlet, error)
