"""Functions that run beside a test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Background(Generic[Result]):
    """Runs a function in a thread, from construction on."""

    def __init__(self, function: Callable[..., Result], *arguments: object) -> None:
        self._error: BaseException | None = None
        self._function = function
        self._arguments = arguments
        self._thread = threading.Thread(target=self._run, name=f"background {function}", daemon=True)
        self._thread.start()

    def result(self, timeout: float = 30.0) -> Result:
        """Wait for the function to end; return what it returned or raise what it raised."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self._function} has not ended within {timeout:g} seconds")
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> None:
        try:
            self._result = self._function(*self._arguments)
        except BaseException as error:
            self._error = error


def eventually(condition: Callable[[], object], timeout: float = 30.0) -> bool:
    """Wait until a condition holds that no event tells of; return whether it does within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    never = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        never.wait(0.001)
    return True
