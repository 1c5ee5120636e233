"""The steps of a request in a task: their order, their failures, and handlers that are refused."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import socketserver
import struct
import sys
from typing import Any

import pytest

from doorkeep import (
    AsyncTCPServer,
    BaseServer,
    DoorkeepError,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)
from doorkeep.events import ConnectionStopped, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests import sample_handlers
from tests.concurrency.async_handlers import Held, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")


class TestSteps:
    """`setup`, `handle` and `finish`, each of which may be a coroutine, and may fail."""

    @pytest.mark.parametrize("fails", ["", "setup", "handle", "finish"])
    @pytest.mark.parametrize("coroutines", [True, False])
    def test_run_in_their_order(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, fails: str, coroutines: bool
    ) -> None:
        steps: list[str] = []

        def step(name: str) -> None:
            steps.append(name)
            if name == fails:
                raise LookupError(name)

        class Stepping(StreamRequestHandler):
            async def handle(self) -> None:
                await asyncio.sleep(0)
                step("handle")

        class Plain(Stepping):
            def setup(self) -> None:
                super().setup()
                step("setup")

            def finish(self) -> None:
                step("finish")
                super().finish()

        class Coroutines(Stepping):
            async def setup(self) -> None:
                await asyncio.sleep(0)
                super().setup()
                step("setup")

            async def finish(self) -> None:
                await asyncio.sleep(0)
                step("finish")

        with events_of(RequestFailed, ConnectionStopped) as events:
            service = serve(AsyncTCPServer, Coroutines if coroutines else Plain)
            assert service.exchange(b"") == b""
            events.wait_for(ConnectionStopped)
        assert steps == (["setup"] if fails == "setup" else ["setup", "handle", "finish"])
        assert [str(failed.error) for failed in events.of(RequestFailed)] == [fails] * bool(fails)
        assert service.server.stats().failed == bool(fails)
        assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
            f"request from {events.of(ConnectionStopped)[0].client_address[0]}:"
            f"{events.of(ConnectionStopped)[0].client_address[1]} failed"
        ] * bool(fails)

    def test_what_a_failing_handler_wrote_is_sent(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        class Fails(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(b"so far")
                raise LookupError

        assert serve(AsyncTCPServer, Fails).exchange(b"") == b"so far"

    def test_handle_error_is_called_in_the_place_of_the_failure(self, serve: Serve) -> None:
        class Asks(AsyncTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                seen.append((request.fileno() != -1, client_address, sys.exc_info()[0]))

        class Fails(StreamRequestHandler):
            async def handle(self) -> None:
                raise LookupError

        seen: list[Any] = []
        service = serve(Asks, Fails)
        name = service.client.getsockname()
        assert service.client.recv(1) == b""
        assert seen == [(True, name, LookupError)]

    def test_a_client_that_resets_is_no_failure(self, serve: Serve) -> None:
        with events_of(RequestFailed, ConnectionStopped) as events:
            service = serve(AsyncTCPServer, Held)
            assert service.client.recv(3) == b"in\n"
            service.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(service.client)
            events.wait_for(ConnectionStopped)
        assert events.of(RequestFailed) == []

    def test_writing_to_a_client_that_has_gone_fails_when_it_is_drained(self, serve: Serve) -> None:
        class Writes(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(b"in\n")
                with pytest.raises(ConnectionResetError):
                    await self.reader.read()
                for _ in range(10):
                    self.writer.write(b"lost")
                    self.writer.writelines([b"lost", b"too"])
                try:
                    await self.writer.drain()
                except ConnectionError as error:
                    seen.append(error)
                    raise

        seen: list[ConnectionError] = []
        with events_of(RequestFailed, ConnectionStopped) as events:
            service = serve(AsyncTCPServer, Writes)
            assert service.client.recv(3) == b"in\n"
            service.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(service.client)
            events.wait_for(ConnectionStopped)
        assert events.of(RequestFailed) == []
        assert len(seen) == 1

    def test_cancelling_what_a_handler_awaits_fails_its_request(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Awaits(StreamRequestHandler):
            async def handle(self) -> None:
                awaited = asyncio.create_task(asyncio.sleep(60))
                asyncio.get_running_loop().call_soon(awaited.cancel)
                await awaited

        with events_of(RequestFailed) as events:
            assert serve(AsyncTCPServer, Awaits).exchange(b"") == b""
            assert isinstance(events.wait_for(RequestFailed).error, asyncio.CancelledError)

    def test_a_timeout_of_the_handlers_own(self, serve: Serve) -> None:
        class Hurries(StreamRequestHandler):
            async def handle(self) -> None:
                try:
                    async with asyncio.timeout(0.01):
                        await self.reader.readline()
                except TimeoutError:
                    self.writer.write(b"too late")

        assert serve(AsyncTCPServer, Hurries).client.recv(100) == b"too late"


class TestRefusals:
    @pytest.mark.parametrize("handler", [sample_handlers.Upper, functools.partial(sample_handlers.Upper)])
    def test_a_plain_handler_is_refused_at_once(self, handler: Any) -> None:
        with pytest.raises(DoorkeepError, match="Upper would hold up all other requests"):
            AsyncTCPServer(("127.0.0.1", 0), handler)

    def test_so_is_a_class_of_the_standard_library(self) -> None:
        with pytest.raises(DoorkeepError, match="AsyncMixIn needs a subclass of doorkeep's"):
            AsyncTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def test_and_one_that_is_put_there_later(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        service = serve(AsyncTCPServer, Upper)
        service.server.RequestHandlerClass = sample_handlers.Upper
        with events_of(RequestFailed) as events:
            assert service.exchange(b"hello\n") == b""
            assert "would hold up" in str(events.wait_for(RequestFailed).error)

    def test_a_factory_that_makes_no_handler_is_told(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        with events_of(RequestFailed) as events:
            assert serve(AsyncTCPServer, lambda *arguments: None).exchange(b"") == b""
            assert "has made no handler" in str(events.wait_for(RequestFailed).error)

    @pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer])
    def test_other_servers_refuse_a_coroutine(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, server_class: type[BaseServer]
    ) -> None:
        with events_of(RequestFailed) as events:
            assert serve(server_class, Upper).exchange(b"hello\n") == b""
            error = events.wait_for(RequestFailed).error
        assert isinstance(error, TypeError)
        assert str(error) == "Upper.handle is a coroutine function: its server must mix in AsyncMixIn"

    def test_a_handler_needs_a_request(self) -> None:
        with AsyncTCPServer(("127.0.0.1", 0), Upper) as server, pytest.raises(TypeError, match="outside of a request"):
            Upper(None, None, server)

    def test_the_timeout_of_blocking_calls(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        class Timed(Upper):
            timeout = 5

        with events_of(RequestFailed) as events:
            assert serve(AsyncTCPServer, Timed).exchange(b"hello\n") == b""
            assert "use asyncio.timeout" in str(events.wait_for(RequestFailed).error)
