"""Tests of the command line, with the server in C alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import load, stopping
from bench.__main__ import chosen_cases, main, parser
from bench.catalogue import WORKS
from bench.load import Generated
from bench.process import serving
from bench.programs import ECHO, compile_programs
from tests import prerequisites


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs are there, and warm up for a moment."""
    prerequisites.command("cc")
    compile_programs()
    monkeypatch.setattr(load, "WARM_UP", 0.05)


@pytest.mark.usefixtures("programs")
def test_measures_what_is_chosen_and_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ["--work=echo", "--connections=2", "--size=8,16", "--contenders=c,nobody"]
    assert main([*chosen, "--rounds=1", "--seconds=0.5", f"--output={tmp_path}"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("echo-2x8, round 1: c ")
    assert "| c         |" in shown.out
    assert {path.name for path in tmp_path.iterdir()} == {
        f"echo-2x{size}.{suffix}" for size in (8, 16) for suffix in ("json", "md", "svg")
    }


def test_times_the_stopping_where_it_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prerequisites.command("cc")
    called: list[Sequence[str]] = []

    def stop(arguments: Sequence[str]) -> int:
        called.append(arguments)
        return 0

    monkeypatch.setattr(stopping, "main", stop)
    assert main(["--work=stopping", f"--output={tmp_path}"]) == 0
    assert called == [[f"--output={tmp_path}"]]


def test_by_default_all_is_chosen() -> None:
    options = parser().parse_args([])
    assert [case.name for case in chosen_cases(options)] == [case.name for work in WORKS for case in work.cases()]
    assert command.STOPPING in options.work


def test_contenders_are_chosen_by_patterns() -> None:
    (case,) = chosen_cases(parser().parse_args(["--work=lines", "--contenders=green*,c"]))
    names = [contender.name for contender in case.contenders]
    assert names == ["c", "green", "green-pure", "green-coalesced", "green-pure-coalesced"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--work=echo,sleep"], "has to be of echo, lines, connect, udp, idle, http, files, stopping, not sleep"),
        (["--connections=0"], "has to be at least 1, not 0"),
        (["--seconds=0"], "has to be more than 0, not 0"),
    ],
)
def test_refuses_what_cannot_be(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("programs")
def test_a_load_that_holds_connections_tells_what_each_takes() -> None:
    with serving([str(ECHO), "tcp"]) as server:
        idle = Generated("idle", connections=20)(server, 0.5)
        echo = Generated("echo", connections=2)(server, 0.5)
    assert idle.kibibytes_each is not None
    assert idle.kibibytes_each >= 0
    assert (idle.slowest, idle.load_cpu) == (None, None)
    assert echo.kibibytes_each is None
    assert echo.slowest is not None
    assert 0 < echo.slowest <= 1
