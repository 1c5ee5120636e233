"""How connections end: by the client, by the server, in one direction first, in order or not."""

from __future__ import annotations

import pytest

from tests.background import eventually
from tests.conformance.handlers import (
    Closes,
    Count,
    Detaches,
    Echo,
    EndsFirst,
    Held,
    HeldByLine,
    ShutsDown,
    Upper,
)
from tests.conformance.sending import HUGE, Sends
from tests.conformance.service import Report, Service, Start
from tests.conformance.targets import Need, Target, streams


def assert_unharmed(target: Target, service: Service, logged: list[str]) -> None:
    """Wait until no request is in progress, and see that none has failed."""
    assert eventually(lambda: service.server.stats().active == 0)
    assert logged == []
    # A child's status does not tell a client that has gone from a handler that fails.
    if target.reason_against(Need.SHARED_MEMORY) is None:
        assert service.server.stats().failed == 0


@streams()
class TestOneDirectionFirst:
    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_the_clients(self, start: Start, size: int) -> None:
        """Under TLS by close_notify: RFC 8446 section 6.1."""
        client = start(Count).connect()
        client.send(b"x" * size)
        client.end_sending()
        assert client.receive_all() == b"%d" % size

    def test_the_clients_in_the_middle_of_a_line(self, start: Start) -> None:
        client = start(Upper).connect()
        client.send(b"line\nhalf a li")
        client.end_sending()
        assert client.receive_all() == b"LINE\nHALF A LI"


@streams(Need.HALF_CLOSE)
def test_the_servers_direction_first(start: Start, report: Report) -> None:
    service = start(EndsFirst)
    service.server.report = report
    client = service.connect()
    assert client.receive_all() == b"goodbye\n"
    client.send(b"still there?")
    client.end_sending()
    assert report.hear(12) == b"still there?"


@streams()
class TestAClientThatVanishes:
    def test_before_it_is_handled(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Upper)
        for _ in range(5):
            service.connect().vanish()
        assert service.exchange(b"next\n") == b"NEXT\n"
        assert_unharmed(target, service, logged)

    def test_while_the_handler_reads(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Held)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        client.vanish()
        assert service.exchange(b"", 3) == b"in\nout\n"
        assert_unharmed(target, service, logged)

    def test_while_the_handler_writes(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Sends)
        client = service.connect()
        assert client.receive(10) == HUGE[:10]
        client.vanish()
        assert service.connect().receive(len(HUGE)) == HUGE
        assert_unharmed(target, service, logged)

    def test_with_an_answer_unread(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Echo)
        client = service.connect()
        client.send(b"x" * 1000)
        assert client.receive(1) == b"x"
        client.vanish()
        assert service.exchange(b"next") == b"next"
        assert_unharmed(target, service, logged)

    def test_after_the_handler(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(HeldByLine)
        client = service.connect()
        client.send(b"\n")
        assert client.receive_all() == b"in\nout\n"
        client.vanish()
        assert service.exchange(b"\n", 7) == b"in\nout\n"
        assert_unharmed(target, service, logged)


@streams()
def test_many_that_vanish_leave_room_for_others(start: Start, target: Target, logged: list[str]) -> None:
    service = start(Echo, max_connections=1)
    for _ in range(20):
        client = service.connect()
        client.send(b"x")
        assert client.receive(1) == b"x"
        client.vanish()
    assert service.exchange(b"next") == b"next"
    assert_unharmed(target, service, logged)


class TestTheHandler:
    @streams()
    def test_closes(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Closes)
        for _ in range(3):
            client = service.connect()
            assert client.receive(8) == b"closing\n"
            assert client.receive_until_gone() == b""
        assert_unharmed(target, service, logged)

    @streams(Need.SOCKET)
    def test_shuts_down(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(ShutsDown)
        for _ in range(3):
            client = service.connect()
            assert client.receive(8) == b"closing\n"
            assert client.receive_until_gone() == b""
        assert_unharmed(target, service, logged)

    @streams(Need.SOCKET, Need.DETACHABLE)
    def test_detaches(self, start: Start, target: Target, logged: list[str]) -> None:
        service = start(Detaches)
        for _ in range(3):
            client = service.connect()
            assert client.receive(9) == b"detached\n"
            client.send(b"hello\n")
            assert client.receive_all() == b"HELLO\n"
        assert_unharmed(target, service, logged)
