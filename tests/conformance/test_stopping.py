"""The end: of serving, of requests in progress, and of the server."""

from __future__ import annotations

import pytest

from doorkeep.events import ServerStarted
from doorkeep.testing import events_of
from tests.background import Background, eventually
from tests.conformance.datagram_handlers import UpperDatagram
from tests.conformance.handlers import EndsServing, Held, HeldByLine, Upper
from tests.conformance.service import Service, Start
from tests.conformance.targets import Need, datagrams, streams

SOON = 0.02


def serve_again(service: Service) -> Background[None]:
    """Return the running `serve_forever`, once it has begun."""
    with events_of(ServerStarted) as events:
        loop: Background[None] = Background(service.server.serve_forever)
        events.wait_for(ServerStarted)
    return loop


class TestShutdown:
    @streams()
    def test_from_another_thread(self, start: Start) -> None:
        service = start(Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        Background(service.server.shutdown).result()

    @streams()
    def test_lets_the_server_serve_again(self, start: Start) -> None:
        service = start(Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        Background(service.server.shutdown).result()
        for _ in range(2):
            loop = serve_again(service)
            assert service.exchange(b"hello\n") == b"HELLO\n"
            Background(service.server.shutdown).result()
            loop.result()

    @streams(Need.SHARED_MEMORY)
    def test_from_a_handler_which_goes_on(self, start: Start) -> None:
        service = start(EndsServing)
        client = service.connect()
        client.send(b"hello\n")
        assert client.receive_all() == b"HELLO\n"
        Background(service.server.shutdown).result()

    @streams(Need.SIDE_BY_SIDE)
    def test_leaves_requests_in_progress_alone(self, start: Start) -> None:
        service = start(HeldByLine)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        Background(service.server.shutdown).result()
        client.send(b"\n")
        assert client.receive_all() == b"out\n"

    @streams(Need.SIDE_BY_SIDE)
    def test_leaves_new_clients_in_line(self, start: Start) -> None:
        service = start(Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        Background(service.server.shutdown).result()
        client = service.connect()
        loop = serve_again(service)
        client.send(b"hello\n")
        assert client.receive(6) == b"HELLO\n"
        Background(service.server.shutdown).result()
        client.close()
        loop.result()

    @datagrams()
    def test_of_datagrams(self, start: Start) -> None:
        service = start(UpperDatagram)
        assert service.served.exchange(b"hello") == b"HELLO"
        Background(service.server.shutdown).result()
        sender = service.sender()
        sender.send(b"hello")
        loop = serve_again(service)
        assert sender.recv(100) == b"HELLO"
        Background(service.server.shutdown).result()
        loop.result()


class TestDrain:
    @streams()
    def test_of_an_idle_server(self, start: Start) -> None:
        assert Background(start(Upper).server.drain).result() == 0

    @streams()
    def test_lets_requests_finish(self, start: Start) -> None:
        service = start(Held)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        drain = Background(service.server.drain)
        client.end_sending()
        assert client.receive_all() == b"out\n"
        assert drain.result() == 0

    @pytest.mark.parametrize("seconds", [0, SOON])
    @streams()
    def test_cuts_what_is_left(self, start: Start, seconds: float) -> None:
        service = start(Held)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        assert Background(service.server.drain, seconds).result() == 1
        assert client.receive_until_gone() in (b"", b"out\n")
        assert eventually(lambda: service.server.stats().active == 0)

    @streams(Need.SIDE_BY_SIDE)
    def test_cuts_the_late_alone(self, start: Start) -> None:
        service = start(Held)
        clients = [service.connect() for _ in range(4)]
        for client in clients:
            assert client.receive(3) == b"in\n"
        for client in clients[:2]:
            client.end_sending()
            assert client.receive_all() == b"out\n"
        assert eventually(lambda: service.server.stats().active == 2)
        assert Background(service.server.drain, SOON).result() == 2

    @streams()
    def test_turns_new_clients_away(self, start: Start) -> None:
        service = start(Upper)
        service.server.drain()
        with pytest.raises(ConnectionRefusedError):
            service.connect()

    @datagrams()
    def test_of_datagrams(self, start: Start) -> None:
        service = start(UpperDatagram)
        assert service.served.exchange(b"hello") == b"HELLO"
        assert Background(service.server.drain).result() == 0


class TestServerClose:
    @streams(Need.SIDE_BY_SIDE)
    def test_waits_for_requests(self, start: Start) -> None:
        service = start(Held)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        Background(service.server.shutdown).result()
        closing = Background(service.server.server_close)
        client.end_sending()
        assert client.receive_all() == b"out\n"
        closing.result()
        assert eventually(lambda: service.server.stats().active == 0)

    @streams(Need.SIDE_BY_SIDE, Need.SURVIVORS)
    def test_may_leave_requests_behind(self, start: Start) -> None:
        service = start(Held, block_on_close=False)
        client = service.connect()
        assert client.receive(3) == b"in\n"
        Background(service.server.shutdown).result()
        Background(service.server.server_close).result()
        client.end_sending()
        assert client.receive_all() == b"out\n"
        service.server.block_on_close = True  # so that the test waits for what is left

    @streams()
    def test_ends_serving(self, start: Start) -> None:
        service = start(Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        Background(service.server.server_close).result()
        Background(service.server.shutdown).result()
        with pytest.raises(ConnectionRefusedError):
            service.connect()
