"""What tests of waiting have interrupted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from greenlet import getcurrent

from doorkeep.green import sleep, spawn
from doorkeep.green.hub import current_hub

Result = TypeVar("Result")


class Interrupted(Exception):
    """Raised by a test in what waits."""


class Waiting(Generic[Result]):
    """A task of this hub whose greenlet is known, and which has begun to wait."""

    def __init__(self, function: Callable[..., Result], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self.task = spawn(self._run)
        sleep(0)

    def _run(self) -> Result:
        self._greenlet = getcurrent()
        return self._function(*self._arguments)

    def interrupt(self) -> None:
        """Have it raise `Interrupted` where it waits."""
        hub = current_hub()
        assert hub is not None
        hub.interrupt(self._greenlet, Interrupted())
