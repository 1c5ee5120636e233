"""Calls that would block a hub."""

from __future__ import annotations

import sys
import threading

import pytest

from doorkeep.green import run
from doorkeep.http.blocking import call_beside


def test_in_a_hub_it_is_called_in_a_thread() -> None:
    me = threading.get_ident()
    assert run(call_beside, threading.get_ident) != me
    assert call_beside(threading.get_ident) == me


def test_where_there_can_be_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "doorkeep.green.hub")
    monkeypatch.setitem(sys.modules, "doorkeep.green.offloading", None)
    assert call_beside(int, "11", base=2) == 3


def test_raises_what_the_function_raises() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        run(call_beside, int, "x")
