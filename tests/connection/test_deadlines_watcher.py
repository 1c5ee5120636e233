"""The thread that watches deadlines: when there is one, and when it looks."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from doorkeep import ForkingTCPServer, TCPServer, ThreadingTCPServer
from doorkeep.connection import deadlines
from doorkeep.connection.deadlines import Deadlines
from doorkeep.testing import serving
from doorkeep.testing.plugin import Serve
from tests.connection.idle_time import WATCHER, KernelSays
from tests.sample_handlers import Held, Upper

SHORT = 0.1
LONG = 600.0


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == WATCHER]


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

        served = serve(Patient, Held)
        assert served.client.recv(3) == b"in\n"
        served.server.request_timeout = SHORT
        for _ in range(2):  # the second after it has waited for the distant one alone
            assert served.connect().makefile("rb").read() in (b"in\n", b"")
