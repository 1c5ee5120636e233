r"""The pytest plugin: the fixture `serve`.

    def test_greets(serve):
        assert serve(ThreadingTCPServer, Greeter).exchange(b"") == b"hello\n"

pytest finds it by itself where doorkeep is installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from doorkeep.testing.served import Served, ServerType, serving

__all__ = ["Serve", "serve"]

_FAILED = pytest.StashKey[bool]()


class Serve(Protocol):
    """The type of the fixture `serve`."""

    def __call__(
        self,
        server_class: Callable[..., ServerType],
        handler: Callable[..., Any],
        server_address: Any = None,
        **settings: Any,
    ) -> Served[ServerType]: ...


class _TestFailed(Exception):
    """Ends the servers of a test that has failed: what they say then would hide its own words."""


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """Serve until the test is over: the arguments and the result are those of `doorkeep.testing.serving`.

    May be called several times. The test fails if the servers leave threads, children or descriptors behind.
    """
    with contextlib.suppress(_TestFailed), ExitStack() as servers:

        def start(
            server_class: Callable[..., ServerType],
            handler: Callable[..., Any],
            server_address: Any = None,
            **settings: Any,
        ) -> Served[ServerType]:
            return servers.enter_context(serving(server_class, handler, server_address, **settings))

        yield start
        if request.node.stash.get(_FAILED, False):
            raise _TestFailed


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Note that a test has failed."""
    node.stash[_FAILED] = True
