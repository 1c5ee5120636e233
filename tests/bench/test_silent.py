"""Tests of the run with silent clients, with few of them."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from bench import silent
from bench.load import Result
from bench.programs import compile_programs
from bench.silent import Outcome, lives_of, main, measure, table
from tests import prerequisites


@pytest.fixture
def programs() -> None:
    prerequisites.command("cc")
    compile_programs()


def test_sees_how_long_clients_lived() -> None:
    ended, theirs = socket.socketpair()
    silent_one, other = socket.socketpair()
    with ended, theirs, silent_one, other:
        theirs.close()
        now = time.monotonic()
        (life,) = lives_of({ended: now - 7, silent_one: now}, longest=0.05)
    assert 7 <= life < 60


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("family", "gone"), [("standard", 0), ("doorkeep", 5)])
def test_serves_those_that_work_and_sees_the_others_gone(
    monkeypatch: pytest.MonkeyPatch, family: str, gone: int
) -> None:
    monkeypatch.setattr(silent, "MARGIN", 1.0)
    monkeypatch.setattr(silent, "PATIENCE", 40.0)
    outcome = measure(family, silent=5, seconds=0.5)
    assert outcome.alone.rate > 0
    assert outcome.beside.rate > 0
    assert outcome.alone.errors == outcome.beside.errors == 0
    assert len(outcome.lives) == gone


def test_the_table_shows_both_parts_and_the_ends() -> None:
    alone, beside = Result(rate=2000, total=1, latency_p99=10), Result(rate=1900, total=1, latency_p99=11, errors=3)
    outcomes = [Outcome("standard", 5.0, alone, beside, []), Outcome("doorkeep", 5.0, alone, beside, [5.001, 5.25])]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(outcomes, silent=2).splitlines()[2:]
    ]
    common = ["2,000", "1,900", "0.950", "10", "11", "3"]
    assert rows == [
        ["standard.ThreadingTCPServer", *common, "0 of 2", "–", "–"],
        ["doorkeep.ThreadingTCPServer", *common, "2 of 2", "+0.001", "+0.250"],
    ]


@pytest.mark.usefixtures("programs")
def test_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent, "MARGIN", 0.5)
    monkeypatch.setattr(silent, "PATIENCE", 40.0)
    assert main(["--silent=2", "--rounds=1", "--seconds=0.2", f"--output={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2" in shown
    assert shown in (tmp_path / "silent.md").read_text()
