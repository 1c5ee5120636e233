"""Who comes in: at the limit of connections, and by the settings that keep clients out."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.background import eventually
from tests.conformance.datagram_handlers import UpperDatagram
from tests.conformance.handlers import Held, Upper
from tests.conformance.service import Start
from tests.conformance.targets import Need, Target, datagrams, streams


def turning_seldom(target: Target) -> Any:
    """Return a server class whose loop must be woken, or it does not see in time that there is room."""
    base: Any = target.server_class

    class TurningSeldom(base):  # type: ignore[misc]  # known only now
        def serve_forever(self, poll_interval: float = 60) -> None:
            super().serve_forever(60)

    return TurningSeldom


@streams(Need.SIDE_BY_SIDE)
class TestAtTheLimit:
    def test_clients_wait(self, start: Start, target: Target) -> None:
        service = start(Held, turning_seldom(target), max_connections=2)
        clients = [service.connect() for _ in range(6)]
        for first, second in zip(clients[::2], clients[1::2], strict=True):
            assert first.receive(3) == b"in\n"
            assert second.receive(3) == b"in\n"
            assert eventually(lambda: service.server.stats().active == 2)  # a child is counted once it runs
            for client in (first, second):
                client.end_sending()
                assert client.receive_all() == b"out\n"
                client.close()
        assert service.server.stats().refused == {}

    def test_clients_are_closed(self, start: Start) -> None:
        service = start(Held, max_connections=2, at_limit="close")
        clients = [service.connect() for _ in range(2)]
        for client in clients:
            assert client.receive(3) == b"in\n"
        assert service.connect().receive_until_gone() == b""
        assert service.server.stats().refused == {"limit": 1}
        for client in clients:
            client.end_sending()
            assert client.receive_all() == b"out\n"
        assert eventually(lambda: service.server.stats().active == 0)
        assert service.exchange(b"", 3) == b"in\nout\n"


@streams()
def test_a_suspended_server_leaves_clients_in_line(start: Start) -> None:
    service = start(Upper)
    assert service.exchange(b"hello\n") == b"HELLO\n"
    service.server.suspend()
    client = service.connect()
    service.server.resume()
    client.send(b"hello\n")
    assert client.receive(6) == b"HELLO\n"


@streams()
def test_those_who_are_denied_are_closed(start: Start, target: Target) -> None:
    ours = f"uid:{os.getuid()}" if target.transport == "unix" else "127.0.0.0/8"
    service = start(Upper, deny=(ours,))
    assert service.connect().receive_until_gone() == b""
    service.server.deny = None
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().refused == {"denied": 1}


@datagrams()
def test_datagrams_over_the_limit_wait(start: Start, target: Target) -> None:
    service = start(UpperDatagram, turning_seldom(target), max_connections=1)
    senders = [service.sender() for _ in range(10)]
    for sender in senders:
        sender.send(b"hello")
    for sender in senders:
        assert sender.recv(100) == b"HELLO"


@pytest.mark.parametrize("at_limit", ["wait", "close"])
@streams()
def test_one_after_another_is_never_one_too_many(start: Start, target: Target, at_limit: str) -> None:
    service = start(Upper, turning_seldom(target), max_connections=1, at_limit=at_limit)
    for _ in range(5):
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.stats().active == 0)
