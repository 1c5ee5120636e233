"""What the tests of mix-ins share."""

from __future__ import annotations

import asyncio

import pytest

from doorkeep.concurrency import loops
from tests import prerequisites
from tests.connection.conftest import certificates as certificates


@pytest.fixture(params=["asyncio", "uvloop"])
def each_event_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on asyncio's own event loop and on uvloop's."""
    if request.param == "uvloop":
        prerequisites.module("uvloop")
    else:
        monkeypatch.setattr(loops, "new_event_loop", asyncio.new_event_loop)
