"""How requests in tasks end with their server, by a deadline, or at a limit."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from doorkeep import AsyncTCPServer, AsyncUDPServer, AsyncUnixStreamServer, BaseServer, StreamRequestHandler
from doorkeep.concurrency import streams, tasks
from doorkeep.events import (
    ConnectionStopped,
    DeadlinePassed,
    ListenerSuspended,
    RequestFailed,
    RequestRefused,
    ServerDrained,
    ServerStarted,
)
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.concurrency.async_handlers import AsyncGate, Held, Stubborn, Upper, UpperDatagram

pytestmark = pytest.mark.usefixtures("each_event_loop")

STREAMS = [AsyncTCPServer, AsyncUnixStreamServer]
SHORT = 0.1
TURNS = 3
# More than the kernel takes without anybody reading.
MUCH = 16 * 1024 * 1024
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
        assert cancelled.is_set()
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


class TestShutdown:
    def test_does_not_wait_for_requests(self, serve: Serve) -> None:
        service = serve(AsyncTCPServer, Held)
        assert service.client.recv(3) == b"in\n"
        Background(service.server.shutdown).result()
        assert service.server.stats().active == 1
        service.client.shutdown(socket.SHUT_WR)
        assert service.client.recv(4) == b"out\n"

    def test_from_a_handler(self) -> None:
        class Last(StreamRequestHandler):
            async def handle(self) -> None:
                self.server.shutdown()
                self.writer.write(b"that was all\n")

        with AsyncTCPServer(("127.0.0.1", 0), Last) as server:
            with events_of(ServerStarted) as events:
                loop = Background(server.serve_forever, 60)
                events.wait_for(ServerStarted)
            with connected_to(server) as client:
                assert client.makefile("rb").read() == b"that was all\n"
            loop.result()

    def test_serving_again(self, serve: Serve) -> None:
        with AsyncTCPServer(("127.0.0.1", 0), Upper) as server:
            for _ in range(2):
                with events_of(ServerStarted) as events:
                    loop = Background(server.serve_forever, 60)
                    events.wait_for(ServerStarted)
                with connected_to(server) as client:
                    client.sendall(b"hello\n")
                    assert client.recv(6) == b"HELLO\n"
                Background(server.shutdown).result()
                loop.result()


class TestServerClose:
    def test_waits_for_requests(self) -> None:
        server = AsyncTCPServer(("127.0.0.1", 0), Held)
        with connected_to(server) as client:
            server.handle_request()
            assert client.recv(3) == b"in\n"
            closing = Background(server.server_close)
            with pytest.raises(TimeoutError):
                closing.result(0.05)
            client.shutdown(socket.SHUT_WR)
            closing.result()
            assert client.recv(4) == b"out\n"

    def test_may_leave_them(self) -> None:
        server = AsyncTCPServer(("127.0.0.1", 0), Held, block_on_close=False)
        with connected_to(server) as client:
            server.handle_request()
            assert client.recv(3) == b"in\n"
            Background(server.server_close).result()
            assert server.stats().active == 1
            client.shutdown(socket.SHUT_WR)
            assert client.recv(4) == b"out\n"
        # Its thread ends by itself, as the test for leaks sees.

    def test_may_be_called_twice_and_first_of_all(self) -> None:
        server = AsyncTCPServer(("127.0.0.1", 0), Upper)
        for _ in range(2):
            Background(server.server_close).result()
            assert server.fileno() == -1

    @pytest.mark.parametrize("in_thread", [True, False])
    def test_from_a_request_does_not_wait_for_that(self, serve: Serve, in_thread: bool) -> None:
        class Closes(StreamRequestHandler):
            async def handle(self) -> None:
                if in_thread:
                    await asyncio.to_thread(self.server.server_close)
                else:
                    self.server.server_close()
                self.writer.write(b"closed")

        assert serve(AsyncTCPServer, Closes).exchange(b"") == b"closed"

    def test_from_a_coroutine_waits_for_nobody(self, serve: Serve) -> None:
        class Closes(Held):
            async def handle(self) -> None:
                if await self.reader.readline() == b"stay\n":
                    await super().handle()
                else:
                    self.server.server_close()
                    self.writer.write(b"closed")

        service = serve(AsyncTCPServer, Closes)
        closes = service.connect()
        service.client.sendall(b"stay\n")
        assert service.client.recv(3) == b"in\n"
        closes.sendall(b"close\n")
        assert closes.recv(6) == b"closed"


class TestDeadlines:
    @pytest.mark.parametrize("server_class", STREAMS)
    @pytest.mark.parametrize("setting", ["idle_timeout", "request_timeout"])
    def test_end_the_silent(self, serve: Serve, server_class: type[BaseServer], setting: str) -> None:
        with events_of(DeadlinePassed, ConnectionStopped, RequestFailed) as events:
            service = serve(server_class, Upper, **{setting: SHORT})
            assert service.client.recv(1) == b""
            events.wait_for(ConnectionStopped)
        passed, *rest = events
        assert isinstance(passed, DeadlinePassed)
        assert passed.setting == setting
        assert [type(event) for event in rest] == [ConnectionStopped]
        assert service.server.stats().expired == {setting: 1}

    @pytest.mark.parametrize("server_class", STREAMS)
    @pytest.mark.parametrize("setting", ["idle_timeout", "request_timeout"])
    def test_end_those_who_do_not_read(self, serve: Serve, server_class: type[BaseServer], setting: str) -> None:
        class Much(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(bytes(MUCH))

        service = serve(server_class, Much, **{setting: SHORT})
        with events_of(ConnectionStopped) as events:
            service.connect()
            events.wait_for(ConnectionStopped)
        assert service.server.stats().expired == {setting: 1}

    @pytest.mark.parametrize("active", ["reads", "writes", "writelines", "is read"])
    def test_leave_the_active_alone_where_the_kernel_does_not_tell(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, active: str
    ) -> None:
        """The clock is the test's: each turn takes a little less than the timeout, all together much more."""

        class Clock:
            now = 0.0

        class Turns(StreamRequestHandler):
            async def handle(self) -> None:
                if active == "is read":
                    self.writer.write(bytes(MUCH))
                for _ in range(TURNS):
                    await self.act()
                    Clock.now += 0.9 * SHORT
                    await asyncio.sleep(2 * SHORT)  # meanwhile the deadline is looked at

            async def act(self) -> None:
                if active == "writes":
                    self.writer.write(b"x")
                elif active == "writelines":
                    self.writer.writelines([b"x"])
                else:
                    unsent = self.writer.transport.get_write_buffer_size()
                    wanted.release()
                    if active == "reads":
                        await self.reader.readexactly(1)
                    while unsent and self.writer.transport.get_write_buffer_size() == unsent:
                        await asyncio.sleep(0.001)

        monkeypatch.setattr(tasks, "idle_seconds_of", lambda request: None)
        monkeypatch.setattr(streams, "monotonic", lambda: Clock.now)
        wanted = threading.Semaphore(0)
        service = serve(AsyncUnixStreamServer, Turns, idle_timeout=SHORT)
        client = service.client
        for _ in range(TURNS if active.startswith(("reads", "is")) else 0):
            assert wanted.acquire(timeout=30)
            if active == "reads":
                client.send(b"y")
            else:
                assert client.recv(MUCH // 16, socket.MSG_WAITALL)
        client.makefile("rb").read()
        assert service.server.stats().expired == {}

    def test_of_a_handler_that_waits_for_other_things_end_its_connection_alone(self, serve: Serve) -> None:
        class Waits(StreamRequestHandler):
            async def handle(self) -> None:
                await gate.wait()

        gate = AsyncGate()
        service = serve(AsyncTCPServer, Waits, request_timeout=SHORT)
        with events_of(DeadlinePassed) as events:
            client = service.connect()
            gate.wait_entered()
            events.wait_for(DeadlinePassed)
            assert client.recv(1) == b""
            assert service.server.stats().active == 1
        gate.open()


class TestAdmission:
    def test_at_the_limit_clients_wait(self, serve: Serve) -> None:
        with events_of(ListenerSuspended) as events:
            service = serve(AsyncTCPServer, Held, max_connections=2)
            first, second, third = (service.connect() for _ in range(3))
            assert first.recv(3) == second.recv(3) == b"in\n"
            assert events.wait_for(ListenerSuspended).reason == "limit"
            assert service.server.stats().accepted == 2
            first.close()
            assert third.recv(3) == b"in\n"

    def test_at_the_limit_clients_are_turned_away(self, serve: Serve) -> None:
        service = serve(AsyncTCPServer, Held, max_connections=1, at_limit="close")
        first = service.connect()
        assert first.recv(3) == b"in\n"
        with events_of(RequestRefused) as events:
            assert service.connect().recv(3) == b""
            assert events.wait_for(RequestRefused).reason == "limit"

    @pytest.mark.parametrize(("setting", "reason"), [({"deny": "127.0.0.0/8"}, "denied"), ({}, "verify")])
    def test_who_is_refused_reaches_no_task(self, serve: Serve, setting: dict[str, Any], reason: str) -> None:
        class Refuses(AsyncTCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                return False

        service = serve(Refuses, Upper, **setting)
        assert service.exchange(b"") == b""
        assert service.server.stats().refused == {reason: 1}

    def test_suspended_the_server_lets_clients_wait(self, serve: Serve) -> None:
        service = serve(AsyncTCPServer, Upper)
        service.client.sendall(b"hello\n")
        assert service.client.recv(6) == b"HELLO\n"
        with events_of(ListenerSuspended) as events:
            service.server.suspend()
            events.wait_for(ListenerSuspended)
        waiting = service.connect()
        waiting.sendall(b"later\n")
        service.client.sendall(b"now\n")
        assert service.client.recv(4) == b"NOW\n"
        assert service.server.stats().accepted == 1
        service.server.resume()
        assert waiting.recv(6) == b"LATER\n"


def test_a_with_block_drains_by_drain_timeout() -> None:
    with events_of(ServerDrained, ServerStarted) as events:
        with AsyncTCPServer(("127.0.0.1", 0), Held, drain_timeout=SOON) as server:
            loop = Background(server.serve_forever, 60)
            client = connected_to(server)
            assert client.recv(3) == b"in\n"
        assert events.of(ServerDrained)[0].closed == 1
    loop.result()
    client.close()


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
