"""What tests need is there, or they skip, or fail in continuous integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import prerequisites


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine one where tests may skip."""
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def continuous_integration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine one where no test may skip."""
    monkeypatch.setenv("CI", "true")


def test_gives_what_is_there() -> None:
    prerequisites.module("json.decoder")
    assert Path(prerequisites.command("sh")).name == "sh"


@pytest.mark.usefixtures("anywhere")
def test_skips_without_it() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"no module json\.missing"):
        prerequisites.module("json.missing")
    with pytest.raises(pytest.skip.Exception, match="no program doorkeep-missing"):
        prerequisites.command("doorkeep-missing")


@pytest.mark.usefixtures("continuous_integration")
def test_fails_without_it_in_continuous_integration() -> None:
    with pytest.raises(pytest.fail.Exception, match="no module missing_package"):
        prerequisites.module("missing_package.part")
    with pytest.raises(pytest.fail.Exception, match="no program doorkeep-missing"):
        prerequisites.command("doorkeep-missing")
