"""Deadlines of idle connections: who is silent is gone, and who is active stays.

A deadline is short where it is to pass, and the tests wait for what it does. Where it is not to pass, the kernel's
answer about idle time is replaced, so that a busy machine makes no difference.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import Any

import pytest

from doorkeep import (
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.events import ConnectionStopped, DeadlinePassed, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import eventually
from tests.connection.idle_time import KernelSays
from tests.sample_handlers import Gate, Upper

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]
SHORT = 0.1
LONG = 600.0


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
        (connection,) = served.server._requests_in_progress
        assert connection.due >= connection.started + LONG - 1
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
