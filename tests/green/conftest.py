"""What the tests of the hub share: they run with each way of waiting for the kernel that it has."""

from __future__ import annotations

import selectors

import pytest

from doorkeep.green.core import COMPILED
from doorkeep.green.pure import loop
from doorkeep.green.pure.pollers import EpollPoller, Poller, SelectorsPoller


def _poll_poller() -> Poller:
    return SelectorsPoller(selectors.PollSelector)


@pytest.fixture(params=["compiled"] if COMPILED else ["epoll", "selectors"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have hubs wait by one of their ways, and return its name."""
    name: str = request.param
    if name != "compiled":
        monkeypatch.setattr(loop, "make_poller", EpollPoller if name == "epoll" else _poll_poller)
    return name
