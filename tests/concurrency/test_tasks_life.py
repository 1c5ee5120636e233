"""The tasks of asyncio themselves: what they have, what they keep, and what becomes of others that they start."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import socket
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from doorkeep import (
    AsyncTCPServer,
    StreamRequestHandler,
)
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.concurrency.async_handlers import AsyncGate, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")


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

    def test_that_fail_in_an_unusual_way_are_logged(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        class Unusual(BaseException):
            """No `Exception`."""

        class Fails(StreamRequestHandler):
            async def handle(self) -> None:
                raise Unusual("rarely")

        service = serve(AsyncTCPServer, Fails)
        assert service.exchange(b"") == service.exchange(b"") == b""
        assert eventually(lambda: len(caplog.records) == 2)
        assert {(record.name, record.getMessage()) for record in caplog.records} == {
            ("doorkeep.tasks", "a request's task failed")
        }

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
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout == "False\n"
