"""Deadlines of requests in tasks: the silent and the slow are gone, the active stay."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from doorkeep import AsyncTCPServer, AsyncUnixStreamServer, BaseServer, StreamRequestHandler
from doorkeep.concurrency import streams, tasks
from doorkeep.events import ConnectionStopped, DeadlinePassed, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.concurrency.async_handlers import AsyncGate, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")

STREAMS = [AsyncTCPServer, AsyncUnixStreamServer]
SHORT = 0.1
TURNS = 3
# More than the kernel takes without anybody reading.
MUCH = 16 * 1024 * 1024


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
