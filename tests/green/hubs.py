"""What a test does in a hub."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from doorkeep.green import run
from doorkeep.green.core import Hub
from doorkeep.green.hub import current_hub, hub_of_thread
from doorkeep.green.sockets import green
from tests.connection.pairs import tcp_pair


def the_hub() -> Hub:
    """Return the hub that the test runs in."""
    hub = current_hub()
    assert hub is not None
    return hub


def let_others_run(turns: int = 1) -> None:
    """Let all others that can run do so, once each a turn."""
    for _ in range(turns):
        the_hub().give_way()


def park_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, which is looked at whenever the current greenlet is woken."""
    while not condition():
        the_hub().park()


@contextmanager
def green_pair(timeout: float | None = 30, pair: Any = tcp_pair) -> Iterator[tuple[Any, socket.socket]]:
    """Yield the accepted end of a connection, green, and the other end, plain."""
    hub = hub_of_thread()
    assert hub is not None
    with pair() as (accepted, client), green(hub, accepted) as connection:
        connection.settimeout(timeout)
        yield connection, client


__all__ = ["green_pair", "let_others_run", "park_until", "run", "the_hub"]
