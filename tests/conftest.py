"""What holds for every test: it leaves no threads, child processes or file descriptors behind.

Its clients are patient, as a machine that does much else may be slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import doorkeep.concurrency.tasks  # noqa: F401  # opens what the library under uvloop keeps for the process's life
from doorkeep.testing import served
from doorkeep.testing.leaks import no_leaks

FAILED = pytest.StashKey[bool]()

served.TIMEOUT = 30.0


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaks, unless it is marked `leaks_allowed(reason="...")`.

    Does not look after a test that has failed already: its traceback keeps alive what the test used.
    """
    marker = request.node.get_closest_marker("leaks_allowed")
    if marker is not None:
        if not marker.kwargs.get("reason"):
            pytest.fail('say why: @pytest.mark.leaks_allowed(reason="...")')
        yield
        return
    with ExitStack() as watch:
        watch.enter_context(no_leaks())
        yield
        if request.node.stash.get(FAILED, False):
            watch.pop_all()


def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Note that a test failed."""
    node.stash[FAILED] = True
