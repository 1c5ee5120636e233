"""Calls that would block other connections of a green server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["call_beside"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def call_beside(
    function: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Call a function that may block, in a thread if the caller is a green handler, and return what it does."""
    if "doorkeep.green.hub" not in sys.modules:  # which may not be importable, and of which none runs
        return function(*args, **kwargs)
    from doorkeep.green.offloading import offload

    return offload(function, *args, **kwargs)
