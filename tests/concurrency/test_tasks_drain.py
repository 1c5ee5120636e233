"""Draining a server whose requests are tasks: they finish, or are cut."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from doorkeep import AsyncTCPServer, AsyncUDPServer, AsyncUnixStreamServer, BaseServer, StreamRequestHandler
from doorkeep.concurrency import tasks
from doorkeep.events import ConnectionStopped, RequestFailed, ServerDrained
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.concurrency.async_handlers import Held, Stubborn, Upper, UpperDatagram

pytestmark = pytest.mark.usefixtures("each_event_loop")

STREAMS = [AsyncTCPServer, AsyncUnixStreamServer]
SHORT = 0.1
SOON = 0.02


@pytest.fixture
def soon_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the moment that requests have after a drain."""
    monkeypatch.setattr(tasks, "AFTER_DRAIN", SHORT)


@pytest.mark.parametrize("server_class", STREAMS)
class TestDrain:
    def test_lets_requests_finish(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        assert service.client.recv(3) == b"in\n"
        drain = Background(service.server.drain)
        service.client.shutdown(socket.SHUT_WR)
        assert service.client.recv(4) == b"out\n"
        assert drain.result() == 0

    def test_cuts_and_counts_what_is_left(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        clients = [service.connect() for _ in range(3)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        with events_of(ServerDrained, ConnectionStopped, RequestFailed) as events:
            assert Background(service.server.drain, SOON).result() == 3
            assert events.wait_for(ServerDrained).closed == 3
            events.wait_for(ConnectionStopped, count=3)
        assert events.of(RequestFailed) == []
        assert [client.recv(4) for client in clients] == [b""] * 3

    def test_refuses_new_clients(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert Background(service.server.drain).result() == 0
        with pytest.raises(ConnectionRefusedError):
            service.connect()

    @pytest.mark.usefixtures("soon_cancelled")
    def test_of_those_that_heed_nothing_lasts_a_moment(self, serve: Serve, server_class: type[BaseServer]) -> None:
        """They are cancelled then."""
        cancelled = threading.Event()

        class Telling(Stubborn):
            async def finish(self) -> None:
                cancelled.set()

        service = serve(server_class, Telling)
        assert service.client.recv(3) == b"in\n"
        with events_of(RequestFailed, ConnectionStopped) as events:
            assert Background(service.server.drain, 0).result() == 1
            assert not cancelled.is_set()
            Background(service.server.server_close).result()
            assert cancelled.wait(30)
            events.wait_for(ConnectionStopped)
        assert [type(event) for event in events] == [ConnectionStopped]


class TestDrainFromARequest:
    def test_holds_up_the_loop_and_is_refused(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        class Drains(StreamRequestHandler):
            async def handle(self) -> None:
                self.server.drain()

        with events_of(RequestFailed) as events:
            assert serve(AsyncTCPServer, Drains).exchange(b"") == b""
            assert "await asyncio.to_thread" in str(events.wait_for(RequestFailed).error)

    def test_in_a_thread_waits_for_the_others_alone(self, serve: Serve) -> None:
        class Drains(Held):
            async def handle(self) -> None:
                if await self.reader.readline() == b"stay\n":
                    await super().handle()
                else:
                    self.writer.write(b"in\n")
                    self.writer.write(b"%d" % await asyncio.to_thread(self.server.drain))

        service = serve(AsyncTCPServer, Drains)
        stays, drains = service.connect(), service.connect()
        stays.sendall(b"stay\n")
        drains.sendall(b"drain\n")
        assert stays.recv(3) == drains.recv(3) == b"in\n"
        stays.shutdown(socket.SHUT_WR)
        assert stays.recv(4) == b"out\n"
        assert drains.recv(1) == b"0"

    def test_cuts_the_others_alone(self, serve: Serve) -> None:
        class Drains(Held):
            async def handle(self) -> None:
                if await self.reader.readline() == b"stay\n":
                    await super().handle()
                else:
                    self.writer.write(b"%d" % await asyncio.to_thread(self.server.drain, SOON))

        service = serve(AsyncTCPServer, Drains)
        service.client.sendall(b"stay\n")
        assert service.client.recv(3) == b"in\n"
        assert service.exchange(b"drain\n") == b"1"

    def test_a_task_that_it_has_started_is_part_of_it(self, serve: Serve) -> None:
        class Drains(StreamRequestHandler):
            async def handle(self) -> None:
                async with asyncio.TaskGroup() as group:
                    cut = group.create_task(asyncio.to_thread(self.server.drain))
                self.writer.write(b"%d" % cut.result())

        assert serve(AsyncTCPServer, Drains).exchange(b"") == b"0"

    def test_of_another_server_may_be_called_at_once(self, serve: Serve) -> None:
        class Drains(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(b"%d" % other.drain())

        other = serve(AsyncTCPServer, Upper).server
        assert serve(AsyncTCPServer, Drains).exchange(b"") == b"0"


@pytest.mark.usefixtures("soon_cancelled")
def test_datagrams_are_cancelled_after_a_drain(serve: Serve) -> None:
    class Waits(UpperDatagram):
        async def handle(self) -> None:
            entered.set()
            await asyncio.get_running_loop().create_future()

    entered = threading.Event()
    service = serve(AsyncUDPServer, Waits)
    service.client.send(b"hello")
    assert entered.wait(30)
    assert Background(service.server.drain, SOON).result() == 1
    Background(service.server.server_close).result()
    assert eventually(lambda: service.server.stats().active == 0)
