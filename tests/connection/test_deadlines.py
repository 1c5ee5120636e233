"""Deadlines: who is slow is gone, who works stays, and nobody else pays for it.

A deadline is short where it is to pass, and the tests wait for what it does.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    ForkingTCPServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.connection.deadlines import cut
from doorkeep.events import ConnectionReady, DeadlinePassed
from doorkeep.testing import Served, events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.sample_handlers import Held, Upper

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]
SHORT = 0.1
LONG = 600.0


def dribble(client: socket.socket) -> bytes:
    """Send a byte now and then until the connection ends; return what came meanwhile."""
    try:
        while not select.select([client], [], [], 0.01)[0]:
            client.send(b"x")
        return client.recv(100)
    except ConnectionError:
        return b""


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
        assert eventually(lambda: kept)
        served.server.close_request(kept.pop())


def test_many_silent_clients_beside_some_that_work(serve: Serve) -> None:
    """The work named `silent` in bench/ does this at full size."""
    silent_count, working_count, messages = 200, 10, 20

    def work(served: Served[Any]) -> None:
        for _ in range(messages):
            while served.exchange(b"hello\n") != b"HELLO\n":
                pass  # cut too, as a slow machine may see one idle that is not

    served = serve(ThreadingTCPServer, Upper, idle_timeout=1.0)
    with events_of(DeadlinePassed) as recorder:
        silent = [served.connect() for _ in range(silent_count)]
        workers = [Background(work, served) for _ in range(working_count)]
        for worker in workers:
            worker.result(30)
        assert [client.recv(1) for client in silent] == [b""] * silent_count
        served.server.drain()
    passed = Counter(event.client_address for event in recorder.of(DeadlinePassed))
    assert all(passed[client.getsockname()] == 1 for client in silent)
    assert served.server.stats().expired == {"idle_timeout": passed.total()}


@pytest.mark.parametrize("request_", [None, (b"datagram", None), object()], ids=["none", "datagram", "object"])
def test_what_is_no_connection_cannot_be_cut(request_: Any) -> None:
    """To try does no harm: it raises nothing."""
    cut(request_)


def test_to_cut_a_closed_connection_does_nothing() -> None:
    with socket.socket() as never_connected:
        cut(never_connected)
    cut(never_connected)
    assert never_connected.fileno() == -1
