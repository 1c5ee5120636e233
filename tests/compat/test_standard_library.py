"""CPython's own tests pass when doorkeep stands in for the standard modules."""

from __future__ import annotations

import pytest

from tests import prerequisites
from tests.compat import runner
from tests.compat.modules import MODULES, SLOW, floor_of


@pytest.mark.timeout(runner.TIMEOUT + 30)
@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MODULES]
)
def test_as_many_pass_as_on_the_standard_library(module: str) -> None:
    top, inner, *_ = module.split(".")
    prerequisites.module(f"{top}.{inner}")
    outcome = runner.run(module)
    if outcome.failed:
        pytest.fail("\n\n".join(f"{name}\n{why}" for name, why in outcome.failed.items()), pytrace=False)
    assert len(outcome.passed) >= floor_of(module), f"{outcome}\n{outcome.skipped}"
