"""Tests of rates that many servers count together, in a real Redis."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorkeep import TCPServer
from doorkeep.events import RateLimitFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.sample_handlers import Upper


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """Run a Redis for the test, and return its URL."""
    prerequisites.module("redis")
    path = tmp_path / "redis.sock"
    command = [prerequisites.command("redis-server"), "--port", "0", "--unixsocket", str(path), "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any("eady to accept connections" in line for line in process.stdout)
            yield f"redis+unix://{path}"
        finally:
            process.terminate()


def test_two_servers_count_a_host_together(serve: Serve, redis: str) -> None:
    settings = {"rate_limit": "3/hour", "rate_limit_storage": redis}
    with events_of(RateLimitFailed) as failures:
        first = serve(TCPServer, Upper, **settings)
        assert first.exchange(b"hello\n") == b"HELLO\n"
        second = serve(TCPServer, Upper, **settings)
        answers = [served.exchange(b"hello\n") for served in (second, first, second, first)]
    assert answers == [b"HELLO\n"] * 2 + [b""] * 2
    assert failures == []
    assert first.server.stats().refused == second.server.stats().refused == {"rate": 1}
