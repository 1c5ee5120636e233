"""What the tests of the hub share: each way of waiting for the kernel that it has, and certificates."""

from __future__ import annotations

import selectors

import pytest

from doorkeep.green.core import COMPILED
from doorkeep.green.pure import loop
from doorkeep.green.pure.pollers import EpollPoller, Poller, SelectorsPoller
from tests import prerequisites
from tests.connection.certificates import Certificates


def _poll_poller() -> Poller:
    return SelectorsPoller(selectors.PollSelector)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates for all tests of a module."""
    prerequisites.module("trustme")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["compiled"] if COMPILED else ["epoll", "selectors"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have hubs wait by one of their ways, and return its name."""
    name: str = request.param
    if name != "compiled":
        monkeypatch.setattr(loop, "make_poller", EpollPoller if name == "epoll" else _poll_poller)
    return name
