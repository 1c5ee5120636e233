"""Tests of the endurance run, with few connections."""

from __future__ import annotations

import pytest

from bench.endurance import Outcome, endure, table
from bench.process import Holdings
from bench.programs import compile_programs
from tests import prerequisites


@pytest.mark.parametrize("server_class", ["ThreadingTCPServer", "UnixDatagramServer"])
def test_leads_the_requests_through_and_looks_before_and_after(server_class: str) -> None:
    prerequisites.command("cc")
    compile_programs()
    outcome = endure(server_class, 100, chunk_seconds=0.1)
    assert outcome.connections >= 100
    assert outcome.errors == 0
    assert (outcome.after.threads, outcome.after.children) == (1, 0)
    assert outcome.after.descriptors == outcome.before.descriptors > 0
    assert outcome.after.memory > 0


def test_the_table_shows_what_has_grown() -> None:
    before, after = Holdings(10 << 20, 1, 0, 7), Holdings(12 << 20, 3, 1, 9)
    row = table([Outcome("TCPServer", 100_000, 2, before, after)]).splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["TCPServer", "100,000", "2", "10.0", "+2.00", "1 → 3", "0 → 1", "7 → 9"]
