"""Datagrams in tasks of asyncio."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from doorkeep import AsyncUDPServer, AsyncUnixDatagramServer, BaseServer, DatagramRequestHandler, ThreadingUDPServer
from doorkeep.events import DatagramTruncated, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import eventually
from tests.concurrency.async_handlers import AsyncGate, UpperDatagram

pytestmark = pytest.mark.usefixtures("each_event_loop")

DATAGRAMS = [AsyncUDPServer, AsyncUnixDatagramServer]


@pytest.mark.parametrize("server_class", DATAGRAMS)
class TestDatagrams:
    def test_are_answered(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, UpperDatagram)
        for _ in range(10):
            assert service.exchange(b"hello") == b"HELLO"

    def test_run_side_by_side(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Waits(UpperDatagram):
            async def handle(self) -> None:
                await gate.wait()
                await super().handle()

        gate = AsyncGate()
        service = serve(server_class, Waits)
        for _ in range(5):
            service.client.send(b"hello")
        gate.wait_entered(5)
        assert service.server.stats().active == 5
        gate.open()
        assert [service.client.recv(10) for _ in range(5)] == [b"HELLO"] * 5

    def test_may_be_answered_by_the_socket(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Twice(DatagramRequestHandler):
            async def handle(self) -> None:
                self.socket.sendto(b"first", self.client_address)
                await asyncio.sleep(0)
                self.wfile.write(b"second")

        service = serve(server_class, Twice)
        service.client.send(b"hello")
        assert [service.client.recv(10) for _ in range(2)] == [b"first", b"second"]

    def test_of_a_failing_handler_are_told(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, server_class: type[BaseServer]
    ) -> None:
        class Fails(DatagramRequestHandler):
            async def handle(self) -> None:
                raise LookupError

        service = serve(server_class, Fails)
        with events_of(RequestFailed) as events:
            service.client.send(b"hello")
            assert isinstance(events.wait_for(RequestFailed).error, LookupError)


def test_without_a_reply_an_empty_one_is_sent_unless_told_otherwise(serve: Serve) -> None:
    class Silent(DatagramRequestHandler):
        async def handle(self) -> None:
            if self.packet == b"speak":
                self.wfile.write(b"yes")

    assert serve(AsyncUDPServer, Silent).exchange(b"hello") == b""
    client = serve(AsyncUDPServer, Silent, reply_when_empty=False).client
    client.send(b"hello")
    client.send(b"speak")
    assert client.recv(10) == b"yes"


def test_long_ones_are_cut_and_say_so(serve: Serve) -> None:
    class Tells(DatagramRequestHandler):
        async def handle(self) -> None:
            self.wfile.write(b"%d %s" % (len(self.packet), str(self.truncated).encode()))

    with events_of(DatagramTruncated) as events:
        assert serve(AsyncUDPServer, Tells, max_packet_size=5).exchange(b"hello world") == b"5 True"
    assert len(events) == 1


def test_replies_leave_from_the_address_that_was_asked(serve: Serve) -> None:
    service = serve(AsyncUDPServer, UpperDatagram, ("0.0.0.0", 0))
    assert service.exchange(b"hello") == b"HELLO"


def test_a_receiver_without_room_holds_nobody_up(serve: Serve, tmp_path: Path) -> None:
    """A Unix socket takes no more than a few datagrams that nobody has read; sending would block."""

    def has_room() -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as prober:
            prober.setblocking(False)
            try:
                prober.sendto(b"", str(tmp_path / "full"))
            except BlockingIOError:
                return False
            return True

    service = serve(AsyncUnixDatagramServer, UpperDatagram)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.settimeout(30)
        full.bind(str(tmp_path / "full"))
        assert eventually(lambda: not has_room())
        full.sendto(b"hello", service.address)
        assert eventually(lambda: service.server.stats().active == 1)
        assert service.exchange(b"others") == b"OTHERS"
        while not (reply := full.recv(10)):
            pass
        assert reply == b"HELLO"


def test_on_a_server_with_threads_a_coroutine_is_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    told = threading.Event()

    class Asks(ThreadingUDPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            seen.append(request[0])
            told.set()

    service = serve(Asks, UpperDatagram)
    service.client.send(b"hello")
    assert told.wait(30)
    assert seen == [b"hello"]
