"""CPython's own tests pass when doorkeep stands in for the standard modules."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests import prerequisites
from tests.compat import runner
from tests.compat.modules import MODULES, SLOW, floor_of

Runs = dict[str, "Future[runner.Outcome]"]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Run the modules that are to be tested, two at a time: what takes them so long is mostly waiting."""
    tests = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    modules = [str(test.callspec.params["module"]) for test in tests]
    pool = ThreadPoolExecutor(2)
    try:
        yield {module: pool.submit(runner.run, module) for module in sorted(modules, key=lambda name: name not in SLOW)}
    finally:
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(2 * runner.TIMEOUT)
@pytest.mark.leaks_allowed(reason="other modules run meanwhile")
@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MODULES]
)
def test_as_many_pass_as_on_the_standard_library(module: str, runs: Runs) -> None:
    top, inner, *_ = module.split(".")
    prerequisites.module(f"{top}.{inner}")
    outcome = runs[module].result()
    if outcome.failed:
        pytest.fail("\n\n".join(f"{name}\n{why}" for name, why in outcome.failed.items()), pytrace=False)
    assert len(outcome.passed) >= floor_of(module), f"{outcome}\n{outcome.skipped}"
