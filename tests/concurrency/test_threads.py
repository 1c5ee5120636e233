"""A thread for each request: which one, for how long, and what becomes of it."""

from __future__ import annotations

import contextvars
import gc
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    BaseServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.events import ListenerSuspended, RequestRefused
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Gate, Held, Upper


class Name(BaseRequestHandler):
    """Answers with the name of its thread."""

    def handle(self) -> None:
        self.request.sendall(threading.current_thread().name.encode())


def leave(request: Any, client_address: Any, server: Any) -> None:
    """Handle a request by leaving."""
    sys.exit("good bye")


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is open at the end, whatever happens."""
    gate = Gate()
    yield gate
    gate.open()


class TestThreads:
    @pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadingUnixStreamServer])
    def test_requests_run_side_by_side(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        clients = [service.connect() for _ in range(20)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert service.server.stats().active == 20

    def test_datagrams_run_side_by_side(self, serve: Serve, gate: Gate) -> None:
        service = serve(ThreadingUDPServer, gate)
        for _ in range(5):
            service.client.send(b"hello")
        gate.wait_entered(5)
        assert service.server.stats().active == 5
        gate.open()

    def test_each_live_request_has_one_of_its_own_name(self, serve: Serve, gate: Gate) -> None:
        names = []

        class Named(Name):
            def handle(self) -> None:
                names.append(threading.current_thread().name)
                gate(self.request, self.client_address, self.server)

        service = serve(ThreadingTCPServer, Named)
        for _ in range(10):
            service.connect()
        gate.wait_entered(10)
        assert len(set(names)) == 10
        assert all(name.endswith("(process_request_thread)") for name in names)
        gate.open()

    @pytest.mark.parametrize("daemon", [False, True])
    def test_are_daemons_if_told_so(self, serve: Serve, daemon: bool) -> None:
        class Telling(BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(str(threading.current_thread().daemon).encode())

        service = serve(ThreadingTCPServer, Telling, daemon_threads=daemon)
        assert service.exchange(b"") == str(daemon).encode()

    def test_a_changed_setting_holds_for_the_next_request(self, serve: Serve) -> None:
        class Telling(BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(str(threading.current_thread().daemon).encode())

        service = serve(ThreadingTCPServer, Telling, thread_linger=60)
        assert service.exchange(b"") == b"False"
        service.server.daemon_threads = True
        assert service.exchange(b"") == b"True"
        service.server.daemon_threads = False
        assert service.exchange(b"") == b"False"

    def test_do_not_keep_their_last_request(self, serve: Serve) -> None:
        seen: list[weakref.ref[Any]] = []

        class Seen(BaseRequestHandler):
            def handle(self) -> None:
                seen.extend((weakref.ref(self.request), weakref.ref(self)))

        service = serve(ThreadingTCPServer, Seen, thread_linger=60)
        service.exchange(b"")

        def gone() -> bool:
            gc.collect()
            return all(reference() is None for reference in seen)

        assert eventually(gone)
        assert len(seen) == 2


class TestLinger:
    """An idle thread waits for another request for a while; without a while each request has a new one."""

    def test_a_thread_is_used_again(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Name, thread_linger=60)
        names = set()
        for _ in range(5):
            names.add(service.exchange(b""))
            assert eventually(lambda: service.server._crew is not None and service.server._crew.spare == 1)
        assert len(names) == 1

    def test_zero_gives_each_request_a_thread_that_none_had(self, serve: Serve) -> None:
        local = threading.local()

        class Local(BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(b"used" if hasattr(local, "value") else b"fresh")
                local.value = self

        service = serve(ThreadingTCPServer, Local, thread_linger=0)
        assert [service.exchange(b"") for _ in range(10)] == [b"fresh"] * 10

    def test_context_variables_are_fresh_in_any_case(self, serve: Serve) -> None:
        variable: contextvars.ContextVar[bytes] = contextvars.ContextVar("variable", default=b"fresh")

        class Context(BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(variable.get())
                variable.set(b"used")

        service = serve(ThreadingTCPServer, Context, thread_linger=60)
        assert [service.exchange(b"") for _ in range(10)] == [b"fresh"] * 10

    def test_an_idle_thread_ends_after_its_time(self, serve: Serve) -> None:
        before = threading.active_count()
        service = serve(ThreadingTCPServer, Name, thread_linger=0.01)
        service.exchange(b"")
        assert eventually(lambda: threading.active_count() == before + 1)  # the one that accepts

    def test_ended_threads_leave_the_list(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Name, thread_linger=0)
        for _ in range(200):
            service.exchange(b"")
        assert len(service.server._threads) < 30


class TestServerClose:
    """The end of the server waits for requests, unless it is told not to."""

    def test_waits_for_requests(self, gate: Gate) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), gate)
        with connected_to(server):
            server.handle_request()
            gate.wait_entered()
            closing = Background(server.server_close)
            with pytest.raises(TimeoutError):
                closing.result(0.05)
            gate.open()
            closing.result()

    def test_may_leave_them(self, gate: Gate) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), gate, block_on_close=False)
        with connected_to(server):
            server.handle_request()
            gate.wait_entered()
            Background(server.server_close).result()
            assert server.stats().active == 1
            gate.open()

    def test_leaves_daemons(self, gate: Gate) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), gate, daemon_threads=True)
        with connected_to(server):
            server.handle_request()
            gate.wait_entered()
            Background(server.server_close).result()
            assert server.stats().active == 1
            gate.open()

    def test_does_not_wait_for_idle_threads(self) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), Name, thread_linger=60)
        with connected_to(server) as client:
            server.handle_request()
            assert client.recv(100)
            Background(server.server_close).result()

    def test_from_a_request_does_not_wait_for_that(self, serve: Serve) -> None:
        class Closing(BaseRequestHandler):
            def handle(self) -> None:
                self.server.server_close()
                self.request.sendall(b"closed")

        assert serve(ThreadingTCPServer, Closing).exchange(b"") == b"closed"


class TestLimit:
    """`max_connections` and what becomes of the client beyond."""

    def test_wait_leaves_clients_in_the_backlog(self, serve: Serve) -> None:
        with events_of(ListenerSuspended) as events:
            service = serve(ThreadingTCPServer, Held, max_connections=2)
            first, second, third = (service.connect() for _ in range(3))
            assert first.recv(3) == second.recv(3) == b"in\n"
            assert events.wait_for(ListenerSuspended).reason == "limit"
            assert service.server.stats().accepted == 2
            first.close()
            assert third.recv(3) == b"in\n"
            assert service.server.stats().refused == {}

    def test_close_turns_clients_away(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Held, max_connections=2, at_limit="close")
        first, second = service.connect(), service.connect()
        assert first.recv(3) == second.recv(3) == b"in\n"
        with events_of(RequestRefused) as events:
            third = service.connect()
            assert third.recv(3) == b""
            event = events.wait_for(RequestRefused)
        assert (event.reason, event.client_address) == ("limit", third.getsockname())
        first.close()
        assert eventually(lambda: service.server.stats().active == 1)
        assert service.connect().recv(3) == b"in\n"

    def test_a_raised_limit_lets_the_waiting_in(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Held, max_connections=1)
        with events_of(ListenerSuspended) as events:
            first, second = service.connect(), service.connect()
            assert first.recv(3) == b"in\n"
            events.wait_for(ListenerSuspended)
        service.server.max_connections = 2
        service.server._wake()
        assert second.recv(3) == b"in\n"

    def test_a_handler_may_drop_its_connection_unclosed(self, serve: Serve) -> None:
        """What a program takes over counts until it lets go, or the collector does."""
        taken = []

        class Taking(ThreadingTCPServer):
            def process_request_thread(self, request: Any, client_address: Any) -> None:
                taken.append(request)

        service = serve(Taking, Upper, max_connections=1)
        first, second = service.connect(), service.connect()
        assert eventually(lambda: taken)
        assert service.server.stats().active == 1
        taken.pop().close()
        assert first.recv(1) == b""
        assert eventually(lambda: taken)
        taken.pop().close()
        assert second.recv(1) == b""


class TestSystemExit:
    """It ends the thread of its request and nothing else, and is told as `threading` tells it."""

    @pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadPoolTCPServer])
    def test_reaches_the_hook_of_threads_before_server_close_returns(
        self, monkeypatch: pytest.MonkeyPatch, server_class: type[ThreadingTCPServer]
    ) -> None:
        told: list[type[BaseException]] = []
        errors: list[object] = []
        monkeypatch.setattr(threading, "excepthook", lambda arguments: told.append(arguments.exc_type))
        monkeypatch.setattr(server_class, "handle_error", lambda *arguments: errors.append(arguments))

        server = server_class(("127.0.0.1", 0), leave)
        with connected_to(server) as client:
            server.handle_request()
            Background(server.server_close).result()
            assert client.recv(1) == b""
        assert told == [SystemExit]
        assert errors == []

    def test_leaves_other_requests_and_the_server_alone(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        told = threading.Semaphore(0)
        monkeypatch.setattr(threading, "excepthook", lambda arguments: told.release())

        class Leaving(Upper):
            def handle(self) -> None:
                line = self.rfile.readline()
                self.wfile.write(line.upper())
                if line == b"leave\n":
                    sys.exit()
                super().handle()

        service = serve(ThreadPoolTCPServer, Leaving, pool_size=2)
        service.client.sendall(b"stay\n")
        assert service.client.recv(100) == b"STAY\n"
        for _ in range(3):
            assert service.exchange(b"leave\n") == b"LEAVE\n"
            assert told.acquire(timeout=30)
        service.client.sendall(b"still here\n")
        assert service.client.recv(100) == b"STILL HERE\n"


class TestReuse:
    """What a thread brings along to its next request, and a closed server to its next life."""

    def test_a_thread_that_is_used_again_has_a_fresh_context(self, serve: Serve) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="fresh")
        seen: list[tuple[str, str]] = []

        class Context(BaseRequestHandler):
            def handle(self) -> None:
                seen.append((threading.current_thread().name, variable.get()))
                variable.set("used")

        service = serve(ThreadingTCPServer, Context, thread_linger=60)
        for _ in range(3):
            service.exchange(b"")
            assert eventually(lambda: service.server._crew is not None and service.server._crew.spare == 1)
        assert [value for _, value in seen] == ["fresh"] * 3
        assert len({name for name, _ in seen}) == 1

    def test_the_threads_of_live_requests_are_in_the_list(self, serve: Serve, gate: Gate) -> None:
        service = serve(ThreadingTCPServer, gate)
        for _ in range(3):
            service.connect()
        gate.wait_entered(3)
        assert eventually(lambda: len(service.server._threads) == 3)  # the last is added once it runs
        assert all(thread.is_alive() for thread in service.server._threads)
        gate.open()

    @pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadPoolTCPServer])
    def test_a_closed_server_still_processes_requests(self, server_class: type[ThreadingTCPServer]) -> None:
        server = server_class(("127.0.0.1", 0), Upper)
        with connected_to(server) as client:
            client.shutdown(socket.SHUT_WR)
            server.handle_request()
            server.server_close()
        sender, request = socket.socketpair()
        with sender:
            sender.settimeout(30)
            server.process_request(request, "somebody")
            sender.sendall(b"hello\n")
            sender.shutdown(socket.SHUT_WR)
            assert sender.recv(100) == b"HELLO\n"
            Background(server.server_close).result()
            assert request.fileno() == -1
