"""What the tests of connections share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from doorkeep import acceptor, server
from doorkeep.connection import accepting, deadlines
from tests import prerequisites
from tests.connection.certificates import Certificates
from tests.connection.idle_time import KernelSays
from tests.connection.virtual_time import VirtualTime


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """Return the time that servers live in for this test."""
    time = VirtualTime()
    clock = SimpleNamespace(monotonic=lambda: time.now)
    for module in (accepting, acceptor, server):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(server, "_ServerSelector", time.selector)
    return time


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> KernelSays:
    """Return what answers about idle time in place of the kernel; so far all connections are active."""
    kernel = KernelSays(idle=0.0)
    monkeypatch.setattr(deadlines, "idle_seconds_of", kernel)
    return kernel


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return new certificates in files of the test's own."""
    prerequisites.module("trustme")
    return Certificates(tmp_path)
