"""The fixture that fails a leaking test does so, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
LEAK = """
import os
import pytest

@pytest.fixture(scope="module")
def opened():
    descriptors = []
    yield descriptors
    for descriptor in descriptors:
        os.close(descriptor)
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder for an inner test run with the suite's own fixtures."""
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nmarkers = leaks_allowed(reason)")
    return pytester


def test_a_leaking_test_fails(run: pytest.Pytester) -> None:
    run.makepyfile(f"{LEAK}\ndef test_leaks(opened): opened.append(os.open('/', os.O_RDONLY))")
    result = run.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*LeakError: left behind after 2 seconds: fd * -> /")


def test_a_failed_test_is_not_blamed_for_leaks_too(run: pytest.Pytester) -> None:
    run.makepyfile(
        f"{LEAK}\ndef test_fails(opened):\n    opened.append(os.open('/', os.O_RDONLY))\n    raise LookupError"
    )
    run.runpytest_inprocess().assert_outcomes(failed=1)


def test_a_marked_test_may_leak(run: pytest.Pytester) -> None:
    run.makepyfile(
        f"{LEAK}\n@pytest.mark.leaks_allowed(reason='closed by the fixture')"
        "\ndef test_leaks(opened): opened.append(os.open('/', os.O_RDONLY))"
    )
    run.runpytest_inprocess().assert_outcomes(passed=1)


def test_the_mark_needs_a_reason(run: pytest.Pytester) -> None:
    run.makepyfile("import pytest\n@pytest.mark.leaks_allowed\ndef test_leaks(): pass")
    result = run.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*say why: @pytest.mark.leaks_allowed*")
