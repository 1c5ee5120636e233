"""Deadlines: who is silent or slow is gone, who works stays, and nobody else pays for it.

A deadline is short where it is to pass, and the tests wait for what it does. Where it is not to pass, the kernel's
answer about idle time is replaced, so that a busy machine makes no difference.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.connection import deadlines
from doorkeep.connection.deadlines import Deadlines, cut
from doorkeep.events import ConnectionReady, ConnectionStopped, DeadlinePassed, RequestFailed
from doorkeep.testing import Served, events_of, serving
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.sample_handlers import Gate, Held, Upper

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]
WATCHER = "doorkeep deadlines"
SHORT = 0.1
LONG = 600.0


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == WATCHER]


class KernelSays:
    """Stands for the kernel: `idle` is for how many seconds each connection is said to be idle."""

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self._looked = threading.Semaphore(0)

    def __call__(self, request: Any) -> float | None:
        if threading.current_thread().name == WATCHER:
            self._looked.release()
        return self.idle

    def wait_looked(self, times: int) -> None:
        for _ in range(times):
            assert self._looked.acquire(timeout=30)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> KernelSays:
    kernel = KernelSays(idle=0.0)
    monkeypatch.setattr(deadlines, "idle_seconds_of", kernel)
    return kernel


def dribble(client: socket.socket) -> bytes:
    """Send a byte now and then until the connection ends; return what came meanwhile."""
    try:
        while not select.select([client], [], [], 0.01)[0]:
            client.send(b"x")
        return client.recv(100)
    except ConnectionError:
        return b""


class TestIdleTimeout:
    @pytest.mark.parametrize("server_class", SERVERS)
    def test_ends_the_silent(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Upper, idle_timeout=SHORT)
        assert served.client.recv(1) == b""

    @pytest.mark.parametrize("server_class", SERVERS)
    def test_ends_those_who_fall_silent(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Upper, idle_timeout=SHORT)

        def spoke_in_time(client: socket.socket) -> bool:
            with contextlib.suppress(ConnectionError):  # it was cut already, on a slow machine
                client.sendall(b"hello\n")
                return client.recv(6) == b"HELLO\n"
            return False

        while not spoke_in_time(client := served.connect()):
            client.close()
        assert client.recv(1) == b""

    @pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer])
    def test_is_counted_and_told(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Upper, idle_timeout=SHORT)
        with events_of(DeadlinePassed, ConnectionStopped, RequestFailed) as recorder:
            client = served.connect()
            assert client.recv(1) == b""
            stopped = recorder.wait_for(ConnectionStopped)
        passed, *rest = recorder
        assert rest == [stopped]
        assert isinstance(passed, DeadlinePassed)
        assert (passed.server, passed.client_address, passed.setting) == (
            served.server,
            client.getsockname(),
            "idle_timeout",
        )
        assert SHORT <= passed.seconds <= stopped.seconds
        assert served.server.stats().expired == {"idle_timeout": 1}
        assert served.server.stats().failed == 0

    def test_leaves_the_active_alone(self, serve: Serve, kernel: KernelSays) -> None:
        """However often the watcher looks. Once it is told that a connection idles, it cuts it."""
        served = serve(ThreadingTCPServer, Upper, idle_timeout=0.001)
        served.client.sendall(b"hello\n")
        kernel.wait_looked(10)
        served.client.sendall(b"world\n")
        assert served.client.makefile("rb").read(12) == b"HELLO\nWORLD\n"
        kernel.idle = LONG
        assert served.client.recv(1) == b""

    def test_does_not_count_the_time_in_the_backlog(self, serve: Serve, kernel: KernelSays) -> None:
        """The kernel counts from when the client connected, the deadline from when it was let in."""
        kernel.idle = LONG
        served = serve(ThreadingTCPServer, Upper, idle_timeout=LONG - 1)
        served.client.sendall(b"hello\n")
        assert served.client.recv(6) == b"HELLO\n"
        assert served.server.stats().expired == {}

    def test_frees_a_pool_that_the_silent_fill(self, serve: Serve) -> None:
        served = serve(ThreadPoolTCPServer, Upper, pool_size=2, idle_timeout=SHORT)
        silent = [served.connect() for _ in range(4)]
        # On a slow machine a client is cut as it is let in; then another gets its turn.
        assert eventually(lambda: served.exchange(b"hello\n") == b"HELLO\n")
        assert [client.recv(1) for client in silent] == [b""] * 4

    def test_does_not_end_a_handler_that_does_other_things(self, serve: Serve) -> None:
        gate = Gate()
        served = serve(ThreadingTCPServer, gate, idle_timeout=SHORT)
        with events_of(DeadlinePassed) as recorder:
            client = served.connect()
            gate.wait_entered()
            recorder.wait_for(DeadlinePassed)
            assert client.recv(1) == b""
            assert served.server._count_active() == 1
        gate.open()


class TestRequestTimeout:
    @pytest.mark.parametrize("server_class", SERVERS)
    def test_ends_those_who_send_a_byte_now_and_then(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Upper, request_timeout=0.2, idle_timeout=LONG)
        assert dribble(served.client) == b""

    @pytest.mark.parametrize("server_class", SERVERS)
    def test_ends_a_handler_that_sends_without_end(self, serve: Serve, server_class: Any) -> None:
        class Floods(BaseRequestHandler):
            def handle(self) -> None:
                while True:
                    self.request.sendall(b"x" * 65536)

        served = serve(server_class, Floods, request_timeout=0.2)
        with contextlib.suppress(ConnectionResetError):
            while served.client.recv(65536):
                pass
        if server_class is not ForkingTCPServer:
            assert served.server.stats().expired == {"request_timeout": 1}

    def test_is_counted_and_told(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Upper, request_timeout=SHORT)
        with events_of(DeadlinePassed) as recorder:
            assert served.client.recv(1) == b""
            assert recorder.wait_for(DeadlinePassed).setting == "request_timeout"
        assert served.server.stats().expired == {"request_timeout": 1}

    def test_leaves_the_quick_alone(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Upper, request_timeout=LONG)
        assert [served.exchange(b"hello\n") for _ in range(5)] == [b"HELLO\n"] * 5
        assert served.server.stats().expired == {}

    def test_of_unix_sockets(self, serve: Serve) -> None:
        served = serve(ThreadingUnixStreamServer, Upper, request_timeout=0.2)
        assert dribble(served.client) == b""
        assert served.server.stats().expired == {"request_timeout": 1}


class TestWhereTheKernelTellsNoIdleTime:
    """Unix sockets: each call of the handler may take `idle_timeout`, and raises then."""

    def test_the_silent_are_gone(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        served = serve(ThreadingUnixStreamServer, Upper, idle_timeout=SHORT)
        with (
            caplog.at_level(logging.INFO),
            events_of(DeadlinePassed, ConnectionStopped, RequestFailed) as recorder,
        ):
            assert served.client.recv(1) == b""
            recorder.wait_for(ConnectionStopped)
        assert [type(event) for event in recorder] == [DeadlinePassed, ConnectionStopped]
        assert served.server.stats().expired == {"idle_timeout": 1}
        assert served.server.stats().failed == 0
        assert caplog.records == []

    def test_the_active_stay(self, serve: Serve) -> None:
        served = serve(ThreadingUnixStreamServer, Upper, idle_timeout=LONG)
        assert served.exchange(b"hello\n") == b"HELLO\n"

    def test_a_timeout_of_the_handlers_own_is_a_failure(self, serve: Serve) -> None:
        class Impatient(StreamRequestHandler):
            timeout = SHORT

            def handle(self) -> None:
                self.rfile.readline()

        served = serve(ThreadingUnixStreamServer, Impatient, idle_timeout=LONG)
        with events_of(RequestFailed) as recorder:
            assert served.client.recv(1) == b""
            assert isinstance(recorder.wait_for(RequestFailed).error, TimeoutError)
        assert served.server.stats().expired == {}


class TestProgramsWithTheirOwnThreads:
    """They call `finish_request` without the prologue: the handler begins with that."""

    @pytest.fixture
    def server_class(self) -> Iterator[type[TCPServer]]:
        threads: list[Background[None]] = []

        class OwnThreads(TCPServer):
            def process_request(self, request: Any, client_address: Any) -> None:
                threads.append(Background(self.handle_alone, request, client_address))

            def handle_alone(self, request: Any, client_address: Any) -> None:
                with contextlib.suppress(ConnectionError):
                    self.finish_request(request, client_address)
                self.shutdown_request(request)

        yield OwnThreads
        for thread in threads:
            thread.result()

    def test_have_their_handshake_behind_them(self, serve: Serve, server_class: type[TCPServer]) -> None:
        served = serve(server_class, Held, handshake_timeout=SHORT, request_timeout=3 * SHORT)
        with events_of(ConnectionReady, DeadlinePassed) as recorder:
            while (client := served.connect()).recv(3) != b"in\n":  # cut at once, on a slow machine
                client.close()
            assert recorder.of(ConnectionReady)
            assert client.recv(1) == b""
        passed = {event.client_address: event.setting for event in recorder.of(DeadlinePassed)}
        assert passed[client.getsockname()] == "request_timeout"

    def test_a_request_that_waits_for_its_thread_too_long_is_cut(self, serve: Serve) -> None:
        kept: list[Any] = []

        class Forgetful(TCPServer):
            def process_request(self, request: Any, client_address: Any) -> None:
                kept.append(request)

        served = serve(Forgetful, Upper, handshake_timeout=SHORT)
        assert served.client.recv(1) == b""
        assert served.server.stats().expired == {"handshake_timeout": 1}
        served.server.close_request(kept.pop())


class TestWatcher:
    def test_there_is_none_without_deadlines(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held)
        assert served.client.recv(3) == b"in\n"
        assert watchers() == []

    def test_there_is_one_for_all_connections(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held, idle_timeout=LONG, request_timeout=LONG, handshake_timeout=LONG)
        for _ in range(3):
            assert served.connect().recv(3) == b"in\n"
        assert len(watchers()) == 1

    def test_a_forking_server_has_none(self, serve: Serve) -> None:
        """Its children have."""
        served = serve(ForkingTCPServer, Held, idle_timeout=LONG)
        assert served.client.recv(3) == b"in\n"
        assert watchers() == []
        served.client.shutdown(socket.SHUT_WR)
        assert served.client.recv(4) == b"out\n"

    def test_none_is_left_after_close(self) -> None:
        with serving(ThreadingTCPServer, Held, idle_timeout=LONG) as served:
            assert served.client.recv(3) == b"in\n"
            (watcher,) = watchers()
        watcher.join(30)
        assert not watcher.is_alive()

    def test_close_waits_for_it(self) -> None:
        with serving(TCPServer, Upper, idle_timeout=LONG) as served:
            served.exchange(b"hello\n")
            served.server.shutdown()
            served.server.server_close()
            assert watchers() == []

    def test_ends_when_there_is_nothing_left_to_watch(self, serve: Serve) -> None:
        """As when all have their handshake behind them; the next connection starts another."""
        served = serve(ThreadingTCPServer, Held, handshake_timeout=SHORT)
        late = 0
        for _ in range(2):
            while served.connect().recv(3) != b"in\n":
                late += 1  # for a slow machine
            for watcher in watchers():
                watcher.join(30)
            assert watchers() == []
        assert served.server.stats().expired == ({"handshake_timeout": late} if late else {})

    def test_hears_of_a_deadline_that_comes_while_it_looks(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        looking, go_on = threading.Event(), threading.Event()

        def slow_kernel(request: Any) -> float:
            if threading.current_thread().name == WATCHER:
                looking.set()
                assert go_on.wait(30)
            return 0.0

        monkeypatch.setattr(deadlines, "idle_seconds_of", slow_kernel)
        served = serve(ThreadingTCPServer, Held, idle_timeout=SHORT)
        first = served.connect()
        assert first.recv(3) == b"in\n"
        assert looking.wait(30)
        served.server.idle_timeout = LONG
        served.server.request_timeout = SHORT
        second = served.connect()
        assert second.recv(3) == b"in\n"
        go_on.set()
        assert second.recv(1) == b""

    def test_looks_earlier_for_an_earlier_deadline(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held, request_timeout=LONG)
        first = served.connect()
        assert first.recv(3) == b"in\n"
        served.server.request_timeout = SHORT
        assert served.connect().makefile("rb").read() in (b"in\n", b"")

    def test_outlives_a_setting_that_is_no_number(
        self, serve: Serve, kernel: KernelSays, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failed = threading.Event()
        monkeypatch.setattr(Deadlines, "AFTER_FAILURE", 0.01)
        monkeypatch.setattr(deadlines.logger, "exception", lambda _: failed.set())
        served = serve(ThreadingTCPServer, Held, idle_timeout=0.001)
        assert served.client.recv(3) == b"in\n"
        served.server.idle_timeout = "soon"  # type: ignore[assignment]  # what the test is about
        assert failed.wait(30)
        kernel.idle = LONG
        served.server.idle_timeout = 0.001
        assert served.client.recv(1) == b""

    def test_waits_for_distant_deadlines_in_parts(self, serve: Serve) -> None:
        class Patient(ThreadingTCPServer):
            idle_timeout = 1e300  # an attribute is not checked

        served = serve(Patient, Upper)
        assert served.exchange(b"hello\n") == b"HELLO\n"


def test_many_silent_clients_beside_some_that_work(serve: Serve) -> None:
    """The work named `silent` in bench/ does this at full size."""
    silent_count, working_count, messages = 200, 10, 20

    def work(served: Served[Any]) -> int:
        """Return how often a client was cut too, as a slow machine may see one idle that is not."""
        answered = late = 0
        while answered < messages:
            if served.exchange(b"hello\n") == b"HELLO\n":
                answered += 1
            else:
                late += 1
        return late

    served = serve(ThreadingTCPServer, Upper, idle_timeout=1.0)
    silent = [served.connect() for _ in range(silent_count)]
    workers = [Background(work, served) for _ in range(working_count)]
    late = sum(worker.result(30) for worker in workers)
    assert [client.recv(1) for client in silent] == [b""] * silent_count
    assert served.server.stats().expired == {"idle_timeout": silent_count + late}


@pytest.mark.parametrize("request_", [None, (b"datagram", None), object()], ids=["none", "datagram", "object"])
def test_what_is_no_connection_cannot_be_cut(request_: Any) -> None:
    """To try does no harm: it raises nothing."""
    cut(request_)


def test_to_cut_a_closed_connection_does_nothing() -> None:
    with socket.socket() as never_connected:
        cut(never_connected)
    cut(never_connected)
    assert never_connected.fileno() == -1
