"""What tests need and a machine may lack.

A test that lacks something is skipped, but fails where the environment says `CI=true`: a test that continuous
integration always skips tests nothing.
"""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NoReturn

import pytest


def module(name: str) -> None:
    """Find the module; without it the calling test ends here. Imports the packages around it, but not it."""
    try:
        found = find_spec(name) is not None
    except ModuleNotFoundError:  # not even the package around it
        found = False
    if not found:
        lack(f"this Python has no module {name}")


def command(name: str) -> str:
    """Return the path of the program; without it the calling test ends here."""
    path = shutil.which(name)
    if path is None:
        lack(f"there is no program {name} on the search path")
    return path


def lack(what: str) -> NoReturn:
    """Skip the calling test, or fail it in continuous integration."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and continuous integration must have all that the tests need", pytrace=False)
    pytest.skip(what)
