"""A task of asyncio for each request: conversations, and the handlers that have them."""

from __future__ import annotations

import functools
import socket
import sys
import threading
from typing import Any

import pytest

from doorkeep import (
    AsyncTCPServer,
    AsyncUnixStreamServer,
    BaseRequestHandler,
    BaseServer,
    StreamRequestHandler,
)
from doorkeep.events import ConnectionReady, ConnectionStarted, ConnectionStopped, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import eventually
from tests.concurrency.async_handlers import Held, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")

STREAMS = [AsyncTCPServer, AsyncUnixStreamServer]
# More than the kernel and asyncio take without anybody reading.
MUCH = 16 * 1024 * 1024


@pytest.mark.parametrize("server_class", STREAMS)
class TestConversation:
    def test_answers_line_by_line(self, serve: Serve, server_class: type[BaseServer]) -> None:
        client = serve(server_class, Upper).client
        answers = client.makefile("rb")
        for line in (b"hello\n", b"world\n"):
            client.sendall(line)
            assert answers.readline() == line.upper()

    def test_goes_on_after_the_client_has_sent_its_end(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        service.client.shutdown(socket.SHUT_WR)
        assert service.client.makefile("rb").read() == b"in\nout\n"

    def test_reads_what_comes_in_pieces(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Exactly(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(b"?")
                self.writer.write(await self.reader.readexactly(6))

        client = serve(server_class, Exactly).client
        assert client.recv(1) == b"?"
        for piece in (b"on", b"e", b"two"):
            client.sendall(piece)
        assert client.makefile("rb").read() == b"onetwo"

    def test_sends_all_to_a_client_that_reads_late(self, serve: Serve, server_class: type[BaseServer]) -> None:
        """Also what the handler has left in the writer's buffer."""

        class Much(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(bytes(MUCH))
                ended.set()

        ended = threading.Event()
        client = serve(server_class, Much).client
        assert ended.wait(30)
        assert client.makefile("rb").read() == bytes(MUCH)

    def test_waits_for_a_client_that_reads_slowly(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Much(StreamRequestHandler):
            async def handle(self) -> None:
                sizes = []
                for _ in range(MUCH // 65536):
                    self.writer.write(bytes(65536))
                    await self.writer.drain()
                    sizes.append(self.writer.transport.get_write_buffer_size())
                most.append(max(sizes))

        most: list[int] = []
        assert len(serve(server_class, Much).client.makefile("rb").read()) == MUCH
        assert eventually(lambda: most)
        assert most[0] <= 65536

    def test_takes_much_from_a_client(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Counts(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(b"%d" % len(await self.reader.read()))

        assert serve(server_class, Counts).exchange(bytes(MUCH)) == b"%d" % MUCH

    def test_leaves_the_socket_and_its_address(self, serve: Serve, server_class: type[BaseServer]) -> None:
        class Looks(StreamRequestHandler):
            async def handle(self) -> None:
                assert self.connection is self.request
                assert self.request.getsockname() == self.server.server_address
                assert self.request.gettimeout() == 0
                with pytest.raises(BlockingIOError):
                    self.request.recv(1)
                self.writer.write(b"fine")

        client = serve(server_class, Looks).client
        assert client.makefile("rb").read() == b"fine"

    def test_of_many_go_side_by_side(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        clients = [service.connect() for _ in range(50)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert service.server.stats().active == 50
        assert sum(thread.name == "doorkeep asyncio" for thread in threading.enumerate()) == 1

    def test_is_told(self, serve: Serve, server_class: type[BaseServer]) -> None:
        with events_of(ConnectionStarted, ConnectionReady, ConnectionStopped, RequestFailed) as events:
            service = serve(server_class, Upper)
            assert service.exchange(b"hello\n") == b"HELLO\n"
            events.wait_for(ConnectionStopped)
        assert [type(event) for event in events] == [ConnectionStarted, ConnectionReady, ConnectionStopped]
        assert service.server.stats().accepted == 1


def test_the_kernel_tells_of_the_whole_conversation(serve: Serve) -> None:
    with events_of(ConnectionStopped) as events:
        assert serve(AsyncTCPServer, Upper).exchange(b"hello\n") == b"HELLO\n"
        stopped = events.wait_for(ConnectionStopped)
    if sys.platform == "linux":
        assert (stopped.received, stopped.sent) == (6, 6)


def test_any_handler_may_be_a_coroutine(serve: Serve) -> None:
    class Plain(BaseRequestHandler):
        async def handle(self) -> None:
            self.writer.write((await self.reader.readline()).upper())

    assert serve(AsyncTCPServer, Plain).exchange(b"hello\n") == b"HELLO\n"


def test_rbufsize_is_the_longest_line(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Short(Upper):
        rbufsize = 10

    service = serve(AsyncTCPServer, Short)
    assert service.exchange(b"hello\n") == b"HELLO\n"
    with events_of(RequestFailed) as events:
        assert service.exchange(b"hello to the whole world\n") == b""
        assert isinstance(events.wait_for(RequestFailed).error, ValueError)


@pytest.mark.parametrize("factory", [lambda *arguments: Upper(*arguments), functools.partial(Upper)])
def test_a_factory_may_make_the_handler(serve: Serve, factory: Any) -> None:
    assert serve(AsyncTCPServer, factory).exchange(b"hello\n") == b"HELLO\n"


def test_finish_request_may_be_overridden_as_ever(serve: Serve) -> None:
    class Passing(AsyncTCPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            Upper(request, client_address, self)

    assert serve(Passing, Upper).exchange(b"hello\n") == b"HELLO\n"
