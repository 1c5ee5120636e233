"""Deadlines: who takes too long is cut, and nobody else."""

from __future__ import annotations

import pytest

from tests.background import eventually
from tests.conformance.handlers import Held, Upper
from tests.conformance.service import Start
from tests.conformance.targets import Need, Target, streams

SHORT = 0.1
LONG = 60.0


@pytest.mark.parametrize("setting", ["idle_timeout", "request_timeout"])
@streams()
def test_a_silent_client_is_cut(start: Start, target: Target, setting: str) -> None:
    service = start(Held, **{setting: SHORT})
    # On a slow machine the time may be up before there is an answer.
    assert service.connect().receive_until_gone() in (b"", b"in\n", b"in\nout\n")
    setattr(service.server, setting, LONG)
    assert service.exchange(b"", 3) == b"in\nout\n"
    assert eventually(lambda: service.server.stats().active == 0)
    if target.reason_against(Need.SHARED_MEMORY) is None:
        assert service.server.stats().expired == {setting: 1}
        assert service.server.stats().failed == 0


@streams()
def test_those_who_are_quick_notice_nothing(start: Start) -> None:
    service = start(Upper, idle_timeout=LONG, request_timeout=LONG, handshake_timeout=LONG)
    for _ in range(3):
        assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().expired == {}


@streams(Need.ENCRYPTED)
def test_a_handshake_that_does_not_come_is_waited_for_in_vain(start: Start, target: Target) -> None:
    service = start(Upper, handshake_timeout=SHORT)
    assert service.connect_plain().receive_until_gone() == b""
    service.server.handshake_timeout = LONG
    assert service.exchange(b"hello\n") == b"HELLO\n"
    if target.reason_against(Need.SHARED_MEMORY) is None:
        assert service.server.stats().expired == {"handshake_timeout": 1}
        assert service.server.stats().refused == {"handshake": 1}


@streams(Need.ENCRYPTED, Need.SIDE_BY_SIDE)
def test_a_handshake_that_does_not_come_holds_up_nobody(start: Start) -> None:
    service = start(Upper)
    silent = service.connect_plain()
    assert service.exchange(b"hello\n") == b"HELLO\n"
    silent.close()
