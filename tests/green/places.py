"""Where a test of `doorkeep.green` runs: its functions must do the same in a hub and in a thread without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.green import run


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function where the test is: in a thread without a hub."""
    return function(*arguments)


#: Runs a test in both places; `place` calls a function there.
everywhere = pytest.mark.parametrize("place", [run, call], ids=["hub", "thread"])

Place = Callable[..., Any]


def compute_until(moment: float) -> None:
    """Return at that moment of the monotonic clock, and wait for nothing until then."""
    while time.monotonic() <= moment:
        pass
