"""The runner of CPython's tests counts right, and does not mistake the standard library for doorkeep."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import runner

TESTS = """
import unittest

class Sample(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail("because")
    def test_raises(self): raise LookupError("because")
    def test_skips(self): self.skipTest("because")
    @unittest.expectedFailure
    def test_fails_as_known(self): self.fail()
    @unittest.expectedFailure
    def test_passes_unexpectedly(self): pass
    def test_subtests(self):
        for number in 1, 2, 3:
            with self.subTest(number=number):
                self.assertEqual(number, 2)

class MiscTestCase(unittest.TestCase):
    def test_all(self): self.fail("left out")
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path for a test module `sample` that the child interpreter finds."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "sample.py"


def test_counts_each_way_a_test_can_end(write_module: Path) -> None:
    write_module.write_text(TESTS)
    outcome = runner.run("sample")
    names = "sample.Sample.test_"
    assert outcome.passed == [f"{names}passes", f"{names}fails_as_known"]
    assert sorted(outcome.failed) == [
        f"{names}fails",
        f"{names}passes_unexpectedly",
        f"{names}raises",
        f"{names}subtests (number=1)",
        f"{names}subtests (number=3)",
    ]
    assert "LookupError: because" in outcome.failed[f"{names}raises"]
    assert outcome.skipped == {f"{names}skips": "because"}


def test_the_command_prints_counts_and_failures(write_module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_module.write_text(TESTS)
    assert runner.main(["sample"]) == 1
    first, *failures, last = capsys.readouterr().out.splitlines()
    assert first.startswith("sample 2 passed, 5 failed, 1 skipped (")
    assert "    sample.Sample.test_fails" in failures
    assert last == "total 2 passed, 5 failed, 1 skipped"


def test_the_command_succeeds_if_nothing_fails(write_module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_module.write_text("")
    assert runner.main(["--standard", "sample"]) == 0
    assert capsys.readouterr().out.endswith("total 0 passed, 0 failed, 0 skipped\n")


def test_a_module_that_cannot_be_imported_fails() -> None:
    outcome = runner.run("no_such_module")
    assert "ModuleNotFoundError" in "".join(outcome.failed.values())


def test_a_module_that_ends_the_interpreter_fails_with_what_it_said(write_module: Path) -> None:
    write_module.write_text("import os\nprint('last words', flush=True)\nos._exit(0)")
    assert runner.run("sample").failed == {"sample": "exit status 0\nlast words\n"}


def test_a_module_that_does_not_end_fails_and_leaves_no_process(write_module: Path) -> None:
    write_module.write_text(
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import threading; threading.Event().wait()'])"
    )
    assert runner.run("sample", timeout=1).failed == {"sample": "not finished after 1 seconds\n"}


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import sys; del sys.modules['socketserver']", "socketserver is not doorkeep.socketserver"),
        (
            "import sys; doorkeep = sys.modules.pop('socketserver')\n"
            "from socketserver import BaseServer; sys.modules['socketserver'] = doorkeep",
            "sample holds BaseServer of the standard socketserver",
        ),
        (
            "import sys, unittest\n"
            "class Sample(unittest.TestCase):\n"
            "    def test_that_undoes_it(self): del sys.modules['socketserver']",
            "socketserver is not doorkeep.socketserver",
        ),
    ],
    ids=["undone on import", "passed by", "undone by a test"],
)
def test_the_standard_library_in_place_of_doorkeep_is_a_failure(write_module: Path, code: str, complaint: str) -> None:
    write_module.write_text(code)
    outcome = runner.run("sample")
    assert outcome.passed == []
    assert complaint in outcome.failed["sample"]


def test_the_standard_library_runs_on_request(write_module: Path) -> None:
    write_module.write_text("from socketserver import BaseServer\nassert BaseServer.__module__ == 'socketserver'")
    assert runner.run("sample", "standard").failed == {}
    assert runner.run("sample", "doorkeep").failed != {}
