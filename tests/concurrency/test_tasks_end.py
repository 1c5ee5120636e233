"""How requests in tasks end with their server, when that is shut down or closed."""

from __future__ import annotations

import asyncio
import socket

import pytest

from doorkeep import AsyncTCPServer, StreamRequestHandler
from doorkeep.events import ServerDrained, ServerStarted
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.clients import connected_to
from tests.concurrency.async_handlers import Held, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")

SOON = 0.02


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

    def test_serving_again(self) -> None:
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


def test_a_with_block_drains_by_drain_timeout() -> None:
    with events_of(ServerDrained, ServerStarted) as events:
        with AsyncTCPServer(("127.0.0.1", 0), Held, drain_timeout=SOON) as server:
            loop = Background(server.serve_forever, 60)
            client = connected_to(server)
            assert client.recv(3) == b"in\n"
        assert events.of(ServerDrained)[0].closed == 1
    loop.result()
    client.close()
