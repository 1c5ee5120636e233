"""Calls that wait no longer than they are told to, and connections that go on afterwards."""

from __future__ import annotations

import pytest

from tests.background import eventually
from tests.conformance import waiting
from tests.conformance.service import Start
from tests.conformance.targets import Need, Target, streams


@streams()
def test_a_call_that_has_waited_in_vain_leaves_the_connection_in_use(start: Start) -> None:
    client = start(waiting.Waits).connect()
    assert client.receive(5) == b"late\n"
    client.send(b"hello")
    assert client.receive_all() == b"hello"


@streams(Need.SOCKET)
def test_a_file_that_has_waited_in_vain_is_of_no_more_use(start: Start) -> None:
    """As `socket.SocketIO` says: what it had read is lost."""
    assert start(waiting.WaitsByFile).connect().receive_all() == b"TimeoutError\nOSError\n"


@streams(Need.SOCKET)
def test_a_call_that_must_not_wait(start: Start, target: Target) -> None:
    client = start(waiting.WaitsNever).connect()
    is_encrypted = target.reason_against(Need.ENCRYPTED) is None
    assert client.receive_all() == (b"SSLWantReadError" if is_encrypted else b"BlockingIOError")


@streams(Need.SOCKET)
def test_the_timeout_of_the_class_ends_a_silent_client(
    start: Start, target: Target, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(waiting.HasTimeout)
    assert service.connect().receive_all() == b"in\n"
    assert eventually(lambda: service.server.stats().failed == 1)
    if target.reason_against(Need.SHARED_MEMORY) is None:
        assert eventually(lambda: len(logged) == 1)  # it is logged after it was counted
    monkeypatch.setattr(waiting.HasTimeout, "timeout", waiting.LONG)
    assert service.exchange(b"\n", 7) == b"in\nout\n"
