"""Servers that end together."""

from __future__ import annotations

import signal

import pytest

from doorkeep import TCPServer
from doorkeep.operate.group import ServerGroup
from tests.sample_handlers import Upper


class Failing(TCPServer):
    """A server whose loop raises at once."""

    failure: BaseException = LookupError("service_actions fails")

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        raise self.failure


def test_a_server_that_fails_ends_all_with_status_1(caplog: pytest.LogCaptureFixture) -> None:
    well, failing = TCPServer(("127.0.0.1", 0), Upper), Failing(("127.0.0.1", 0), Upper)
    with ServerGroup([well, failing]) as group:
        assert group.run() == 1
    assert "LookupError: service_actions fails" in caplog.text
    assert well.fileno() == failing.fileno() == -1


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit(3)])
def test_a_handler_may_end_all(failure: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "failure", failure)
    with ServerGroup([Failing(("127.0.0.1", 0), Upper)]) as group:
        assert group.run() == 0


def test_a_signal_ends_all() -> None:
    servers = [TCPServer(("127.0.0.1", 0), Upper), TCPServer(("127.0.0.1", 0), Upper)]
    with ServerGroup(servers) as group:
        signal.raise_signal(signal.SIGTERM)
        assert group.run() == 0
    assert [server.fileno() for server in servers] == [-1, -1]


def test_signals_mean_afterwards_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with ServerGroup([]):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
