"""Tests of the run that times `shutdown()`."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

import pytest

from bench.stopping import REQUIRED, SERVERS, label, main, measurable, stop_once
from tests import prerequisites


@pytest.fixture(scope="module", autouse=True)
def servers() -> None:
    """All are imported: before a test is watched for leaks, as libuv keeps a pipe while the process lives."""
    for server_class in measurable():
        resolve_name(server_class)


@pytest.mark.parametrize("server_class", [server for server in SERVERS if not server.startswith("socketserver:")])
def test_stops_a_server_and_closes_it(server_class: str) -> None:
    module = server_class.partition(":")[0]
    prerequisites.module(REQUIRED.get(module, module))
    assert stop_once(server_class) > 0


def test_reports_on_every_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds=1", f"--output={tmp_path}"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[1] for line in table.splitlines()[2:]] == [label(server) for server in measurable()]
    assert table in (tmp_path / "stopping.md").read_text()


def test_servers_are_named_by_package_and_class() -> None:
    assert label("doorkeep.concurrency.greenlets:GreenTCPServer") == "doorkeep.GreenTCPServer"
