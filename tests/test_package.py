"""The names that `doorkeep` hands on."""

from __future__ import annotations

from types import ModuleType

import pytest

import doorkeep
from doorkeep import socketserver
from tests.operate.commands import python


def test_exports_exist_and_are_named_once() -> None:
    assert len(set(doorkeep.__all__)) == len(doorkeep.__all__)
    assert all(hasattr(doorkeep, name) for name in doorkeep.__all__)


def test_whatever_is_public_is_exported() -> None:
    public = {
        name
        for name, value in vars(doorkeep).items()
        if not (name.startswith("_") or isinstance(value, ModuleType))
        and getattr(value, "__module__", "").startswith("doorkeep.")
    }
    assert public | set(doorkeep._ROOMS) == set(doorkeep.__all__)


def test_importing_it_imports_no_command_line() -> None:
    assert python("-c", "import doorkeep, sys; print('doorkeep.operate' in sys.modules)").stdout == "False\n"


def test_an_attribute_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'doorkeep' has no attribute 'nothing'"):
        doorkeep.nothing  # noqa: B018  # the look-up is the point


def test_without_greenlet_all_else_is_there() -> None:
    program = """
import sys
sys.modules["greenlet"] = None  # as if it were not installed
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "greenlet" else find_spec(name)
from doorkeep import *
import doorkeep
try:
    doorkeep.GreenTCPServer
except ImportError as error:
    print(error)
"""
    assert python("-c", program).stdout == "GreenTCPServer needs greenlet: pip install 'doorkeep[green]'\n"


def test_the_names_of_socketserver_are_among_them() -> None:
    for name in socketserver.__all__:
        assert getattr(doorkeep, name) is getattr(socketserver, name)
        assert name in doorkeep.__all__
