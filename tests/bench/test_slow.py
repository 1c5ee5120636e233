"""Slow clients: those that send heads a line at a time, which a short deadline ends soon."""

from __future__ import annotations

from bench.slow import attack, row
from tests import prerequisites


def test_slow_clients_are_gone_and_one_that_works_notices_nothing() -> None:
    prerequisites.command("slowhttptest")
    outcome = attack("heads", "ThreadingHTTPServer", 20, {"head_timeout": 2.0})
    assert outcome.most >= 10
    assert outcome.gone is not None
    assert outcome.work.requests > 0
    assert outcome.work.failed == 0
    assert row(outcome)[:2] == ["heads", str(outcome.most)]
