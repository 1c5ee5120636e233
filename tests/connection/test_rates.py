"""How often a host may come, and what becomes of that where the store of the counts fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, TCPServer, ThreadingTCPServer
from doorkeep.connection import rates
from doorkeep.connection.rates import RateLimiter
from doorkeep.errors import SettingError
from doorkeep.events import RateLimitFailed, RequestRefused
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.sample_handlers import Upper

ADDRESS = ("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def limits_library() -> None:
    prerequisites.module("limits")


def settings(rate_limit: str | None, rate_limit_storage: str | None = None) -> Any:
    """Return what a `RateLimiter` reads of a server."""
    server = SimpleNamespace(rate_limit=rate_limit, rate_limit_storage=rate_limit_storage)
    server._itself = server
    return server


def test_refuses_what_is_beyond_the_rate(serve: Serve) -> None:
    served = serve(ThreadingTCPServer, Upper, rate_limit="3/hour")
    assert [served.exchange(b"hello\n") for _ in range(5)] == [b"HELLO\n"] * 3 + [b""] * 2
    assert served.server.stats().refused == {"rate": 2}
    with socket.create_connection(served.address, timeout=30, source_address=("127.0.0.2", 0)) as other:
        other.sendall(b"hello\n")
        assert other.recv(6) == b"HELLO\n"


def test_tells_of_each_refusal(serve: Serve) -> None:
    served = serve(TCPServer, Upper, rate_limit="1 per 2 hours")
    served.exchange(b"hello\n")
    with events_of(RequestRefused) as recorder:
        served.exchange(b"hello\n")
        assert recorder.wait_for(RequestRefused).reason == "rate"


def test_follows_the_setting_at_once(serve: Serve) -> None:
    served = serve(TCPServer, Upper)
    for rate, answer in (("1/hour", b"HELLO\n"), ("1/hour", b""), ("2/hour", b"HELLO\n"), (None, b"HELLO\n")):
        served.server.rate_limit = rate
        assert served.exchange(b"hello\n") == answer


def test_a_rate_that_cannot_be_read_lets_nobody_in(serve: Serve) -> None:
    served = serve(TCPServer, Upper)
    served.server.rate_limit = "often"
    assert served.exchange(b"hello\n") == b""
    served.server.rate_limit = "5/hour"
    assert served.exchange(b"hello\n") == b"HELLO\n"


def test_each_server_counts_for_itself(serve: Serve) -> None:
    for _ in range(2):
        assert serve(TCPServer, Upper, rate_limit="1/hour").exchange(b"hello\n") == b"HELLO\n"


def test_a_store_may_be_named(serve: Serve) -> None:
    served = serve(TCPServer, Upper, rate_limit="1/hour", rate_limit_storage="memory://")
    with events_of(RateLimitFailed) as recorder:
        assert [served.exchange(b"hello\n") for _ in range(2)] == [b"HELLO\n", b""]
    assert list(recorder) == []


class TestWindow:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        """Return the clock of the library: `now` is its time."""
        import limits.storage.memory as memory

        clock = SimpleNamespace(now=1_000_000.0)
        clock.time = lambda: clock.now
        monkeypatch.setattr(memory, "time", clock)
        return clock

    def test_moves(self, clock: SimpleNamespace) -> None:
        limiter, server = RateLimiter(), settings("2/minute")
        moments = [(0, True), (30, True), (59, False), (61, True), (62, False), (91, True)]
        began = clock.now
        for seconds, allowed in moments:
            clock.now = began + seconds
            assert limiter.allows(server, "127.0.0.1") is allowed, seconds

    def test_forgets_the_hosts_that_do_not_come_any_more(
        self, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rates._MemoryWindow, "FEW", 10)
        limiter, server = RateLimiter(), settings("1/minute")
        for number in range(200):
            clock.now += 7  # so that nine hosts at most have come within the minute
            assert limiter.allows(server, f"10.0.0.{number}")
            assert not limiter.allows(server, f"10.0.0.{number}")
        counting = limiter._counting
        assert counting is not None
        assert len(counting.memory._storage.events) <= 10 + 2 * 9

    def test_forgets_nobody_who_counts(self, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rates._MemoryWindow, "FEW", 1)
        limiter, server = RateLimiter(), settings("1/minute")
        hosts = [f"10.0.0.{number}" for number in range(50)]
        assert all(limiter.allows(server, host) for host in hosts)
        assert not any(limiter.allows(server, host) for host in hosts)


class TestFailingStore:
    @pytest.fixture(autouse=True)
    def driver(self) -> None:
        prerequisites.module("redis")

    @pytest.fixture
    def refusing(self) -> Iterator[str]:
        """Return the URL of a store that nobody serves."""
        with socket.socket() as holder:
            holder.bind(ADDRESS)
            yield f"redis://127.0.0.1:{holder.getsockname()[1]}/0"

    def test_this_process_counts_for_itself_and_tells_once(self, serve: Serve, refusing: str) -> None:
        served = serve(TCPServer, Upper, rate_limit="2/hour", rate_limit_storage=refusing)
        with events_of(RateLimitFailed) as recorder:
            assert [served.exchange(b"hello\n") for _ in range(3)] == [b"HELLO\n"] * 2 + [b""]
        (failure,) = recorder.of(RateLimitFailed)
        assert failure.server is served.server
        assert "refused" in str(failure.error)

    def test_asks_again_after_a_pause(self, refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(RateLimiter, "PAUSE", 0.0)
        limiter, server = RateLimiter(), settings("2/hour", refusing)
        with events_of(RateLimitFailed) as recorder:
            assert [limiter.allows(server, "127.0.0.1") for _ in range(3)] == [True, True, False]
        assert len(recorder) == 3

    def test_one_that_is_silent_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rates, "_PATIENCE", dict.fromkeys(rates._PATIENCE, 0.05))
        with socket.create_server(ADDRESS) as silent, events_of(RateLimitFailed) as recorder:
            server = settings("1/hour", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
            limiter = RateLimiter()
            assert [limiter.allows(server, "127.0.0.1") for _ in range(2)] == [True, False]
            assert "Timeout" in recorder.wait_for(RateLimitFailed).error.__class__.__name__

    def test_patience_is_short(self) -> None:
        assert set(rates._PATIENCE.values()) == {1.0}


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        ("nowhere://", "rate_limit_storage 'nowhere://' cannot be used: unknown storage scheme"),
        ("nothing", "rate_limit_storage 'nothing' cannot be used: unknown storage scheme"),
        ("async+memory://", "rate_limit_storage 'async+memory://' is for asyncio; leave out 'async+'"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(storage: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=f"^{sentence.replace('+', '[+]')}"):
        TCPServer(ADDRESS, BaseRequestHandler, rate_limit="5/minute", rate_limit_storage=storage)


def test_a_missing_driver_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SettingError, match=r"^rate_limit_storage 'redis://127\.0\.0\.1:1/0' cannot be used: "):
        TCPServer(ADDRESS, BaseRequestHandler, rate_limit="5/minute", rate_limit_storage="redis://127.0.0.1:1/0")


def test_the_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(SettingError) as caught:
        TCPServer(ADDRESS, BaseRequestHandler, rate_limit="5/minute")
    assert str(caught.value) == "rate_limit needs the `limits` library: pip install 'doorkeep[rate-limit]'"


def test_the_library_is_not_needed_without_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "limits", None)
    with TCPServer(ADDRESS, BaseRequestHandler, rate_limit_storage="redis://127.0.0.1:1/0") as server:
        assert server.rate_limit is None
