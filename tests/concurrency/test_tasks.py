"""A task of asyncio for each request: conversations, failures, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import logging
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from doorkeep import (
    AsyncTCPServer,
    AsyncUnixStreamServer,
    BaseRequestHandler,
    BaseServer,
    DoorkeepError,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)
from doorkeep.events import ConnectionReady, ConnectionStarted, ConnectionStopped, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests import sample_handlers
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.concurrency.async_handlers import AsyncGate, Held, Upper

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
        assert ended.wait(5)
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


class TestTasks:
    def test_have_contexts_of_their_own(self, serve: Serve) -> None:
        variable: contextvars.ContextVar[bytes] = contextvars.ContextVar("variable", default=b"fresh")

        class Context(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(variable.get())
                variable.set(b"used")

        class Sets(AsyncTCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                variable.set(b"of the accepting thread")
                return True

        service = serve(Sets, Context)
        assert [service.exchange(b"") for _ in range(3)] == [b"fresh"] * 3

    def test_do_not_keep_their_request(self, serve: Serve) -> None:
        seen: list[weakref.ref[Any]] = []

        class Seen(Upper):
            def setup(self) -> None:
                seen.extend((weakref.ref(self.request), weakref.ref(self)))

        service = serve(AsyncTCPServer, Seen)
        assert service.exchange(b"hello\n") == b"HELLO\n"

        def gone() -> bool:
            gc.collect()
            return all(reference() is None for reference in seen)

        assert eventually(gone)
        assert len(seen) == 2

    def test_may_leave_their_connection_to_the_program(self, serve: Serve) -> None:
        """It counts until the program lets go of it."""
        taken = []

        class Taking(AsyncTCPServer):
            def shutdown_request(self, request: Any) -> None:
                taken.append(request)

        service = serve(Taking, Upper)
        service.client.shutdown(socket.SHUT_WR)
        assert eventually(lambda: taken)
        assert service.server.stats().active == 1
        taken.pop().close()
        assert service.client.recv(1) == b""

        def let_go() -> bool:
            gc.collect()
            return service.server.stats().active == 0

        assert eventually(let_go)

    def test_that_a_handler_leaves_alone_are_logged_if_they_fail(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def fail() -> None:
            raise LookupError("alone")

        class Starts(StreamRequestHandler):
            async def handle(self) -> None:
                await asyncio.wait([asyncio.create_task(fail())])

        assert serve(AsyncTCPServer, Starts).exchange(b"") == b""

        def logged() -> bool:
            gc.collect()
            return any(record.name == "doorkeep.tasks" for record in caplog.records)

        assert eventually(logged)
        assert "Traceback" not in capsys.readouterr().err

    def test_that_still_run_at_the_end_are_cancelled(self) -> None:
        async def stay() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        class Starts(StreamRequestHandler):
            async def handle(self) -> None:
                kept.append(asyncio.create_task(stay()))
                await asyncio.sleep(0)

        kept: list[Any] = []
        ended = threading.Event()
        with AsyncTCPServer(("127.0.0.1", 0), Starts) as server, connected_to(server) as client:
            server.handle_request()
            assert client.recv(1) == b""
        assert ended.is_set()

    @pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt])
    def test_that_leave_the_program_end_alone(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, leave: type[BaseException]
    ) -> None:
        """As those of threads do."""
        told: list[Any] = []
        monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_type))

        class Leaves(Upper):
            async def handle(self) -> None:
                self.writer.write(b"in\n")
                if await self.reader.readline() == b"leave\n":
                    raise leave
                await super().handle()

        service = serve(AsyncTCPServer, Leaves)
        stays = service.connect()
        assert stays.recv(3) == b"in\n"
        for count in (1, 2):
            assert service.exchange(b"leave\n") == b"in\n"
            assert eventually(functools.partial(lambda count: len(told) == count, count))
        stays.sendall(b"stay\nhello\n")
        assert stays.recv(6) == b"HELLO\n"
        assert told == [leave] * 2


def test_a_closed_server_still_processes_requests() -> None:
    server = AsyncTCPServer(("127.0.0.1", 0), Upper)
    for _ in range(2):
        sender, request = socket.socketpair()
        with sender:
            sender.settimeout(30)
            server.process_request(request, "somebody")
            sender.sendall(b"hello\n")
            assert sender.recv(6) == b"HELLO\n"
            sender.shutdown(socket.SHUT_WR)
            Background(server.server_close).result()
            assert request.fileno() == -1


def test_without_a_thread_accepting_pauses(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        if thread.name == "doorkeep asyncio" and attempts.acquire(blocking=False):
            raise RuntimeError("can't start new thread")
        original(thread)

    original = threading.Thread.start
    attempts = threading.Semaphore(1)
    service = serve(AsyncTCPServer, Upper)
    monkeypatch.setattr(threading.Thread, "start", start)
    with contextlib.suppress(ConnectionError):
        assert service.exchange(b"hello\n") == b""
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().accept_errors == {"resources": 1}


def test_the_gate_of_these_tests(serve: Serve) -> None:
    class Waits(StreamRequestHandler):
        async def handle(self) -> None:
            await gate.wait()
            self.writer.write(b"open")

    gate = AsyncGate()
    service = serve(AsyncTCPServer, Waits)
    clients = [service.connect() for _ in range(2)]
    gate.wait_entered(2)
    gate.open()
    assert [client.recv(4) for client in clients] == [b"open"] * 2


def test_asyncio_is_not_imported_for_other_servers() -> None:
    program = "import doorkeep, sys; print('asyncio' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout == "False\n"
