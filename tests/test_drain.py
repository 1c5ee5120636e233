"""`drain`: no new clients, time for the requests in progress, the end for the rest."""

from __future__ import annotations

import signal
import socket
from typing import Any

import pytest

from doorkeep import (
    BaseServer,
    ForkingTCPServer,
    ForkingUDPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadPoolTCPServer,
    ThreadPoolUnixStreamServer,
    UnixStreamServer,
)
from doorkeep.events import ConnectionStopped, ServerDrained
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Gate, Held, Upper

IN_THREADS = [ThreadingTCPServer, ThreadPoolTCPServer, ThreadPoolUnixStreamServer]
SIDE_BY_SIDE = [*IN_THREADS, ForkingTCPServer]
SOON = 0.02


@pytest.mark.parametrize("server_class", [*SIDE_BY_SIDE, TCPServer, UnixStreamServer])
class TestOfEachServer:
    def test_an_idle_server_drains_at_once(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Upper)
        assert Background(service.server.drain).result() == 0

    def test_requests_finish(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        assert service.client.recv(3) == b"in\n"
        drain = Background(service.server.drain)
        service.client.shutdown(socket.SHUT_WR)
        assert service.client.recv(4) == b"out\n"
        assert drain.result() == 0

    def test_what_is_left_is_cut_and_counted(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        clients = [service.connect() for _ in range(1 if server_class in (TCPServer, UnixStreamServer) else 3)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert Background(service.server.drain, SOON).result() == len(clients)
        for client in clients:
            assert client.recv(4) in (b"", b"out\n")

    def test_no_time_cuts_at_once(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        assert service.client.recv(3) == b"in\n"
        assert Background(service.server.drain, 0).result() == 1

    def test_new_clients_are_refused(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Upper)
        service.server.drain()
        with pytest.raises(ConnectionRefusedError):
            service.connect()


@pytest.mark.parametrize("server_class", IN_THREADS)
def test_new_clients_are_refused_while_requests_finish(serve: Serve, server_class: type[BaseServer]) -> None:
    service = serve(server_class, Held)
    assert service.client.recv(3) == b"in\n"

    def refused() -> bool:
        try:
            service.connect().close()
        except (ConnectionRefusedError, ConnectionResetError):  # reset: came in while the listener closed
            return True
        return False

    drain = Background(service.server.drain)
    assert eventually(refused)
    service.client.close()
    assert drain.result() == 0


def test_clients_in_the_backlog_are_turned_away(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Held, pool_size=1)
    assert service.client.recv(3) == b"in\n"
    waiting = service.connect()
    drain = Background(service.server.drain)
    with pytest.raises(ConnectionResetError):
        waiting.recv(1)
    service.client.close()
    assert drain.result() == 0


@pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer])
def test_from_a_handler_which_may_finish(serve: Serve, server_class: type[BaseServer]) -> None:
    class Last(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"%d" % self.server.drain(SOON))

    service = serve(server_class, Last)
    assert service.exchange(b"") == b"0"


def test_from_a_handler_cuts_the_others(serve: Serve) -> None:
    class Last(Held):
        def handle(self) -> None:
            if self.rfile.readline() == b"drain\n":
                self.wfile.write(b"%d" % self.server.drain(SOON))
            else:
                super().handle()

    service = serve(ThreadingTCPServer, Last)
    service.client.sendall(b"stay\n")
    assert service.client.recv(3) == b"in\n"
    assert service.exchange(b"drain\n") == b"1"


def test_a_handler_that_heeds_nothing_is_counted_and_left(serve: Serve) -> None:
    gate = Gate()
    service = serve(ThreadingTCPServer, gate)
    service.connect()
    gate.wait_entered()
    assert Background(service.server.drain, SOON).result() == 1
    gate.open()


def test_a_child_that_ignores_sigterm_is_killed(serve: Serve) -> None:
    class Stubborn(Held):
        def setup(self) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            super().setup()

    service = serve(ForkingTCPServer, Stubborn)
    assert service.client.recv(3) == b"in\n"
    assert Background(service.server.drain, 0).result() == 1
    assert service.client.recv(1) == b""


def test_datagrams_in_threads_finish(serve: Serve) -> None:
    gate = Gate()
    service = serve(ThreadingUDPServer, gate)
    service.client.send(b"hello")
    gate.wait_entered()
    drain = Background(service.server.drain)
    gate.open()
    assert drain.result() == 0


def test_datagrams_cannot_be_cut_but_are_counted(serve: Serve) -> None:
    gate = Gate()
    service = serve(ThreadingUDPServer, gate)
    service.client.send(b"hello")
    gate.wait_entered()
    assert Background(service.server.drain, SOON).result() == 1
    gate.open()


def test_a_child_with_a_datagram_is_cut(serve: Serve) -> None:
    class Telling:
        def __init__(self, request: Any, client_address: Any, server: Any) -> None:
            request[1].sendto(b"in", client_address)
            request[1].recv(1)

    service = serve(ForkingUDPServer, Telling)
    service.client.send(b"hello")
    assert service.client.recv(10) == b"in"
    assert Background(service.server.drain, SOON).result() == 1


def test_is_told(serve: Serve) -> None:
    service = serve(ThreadingTCPServer, Held)
    assert service.client.recv(3) == b"in\n"
    with events_of(ServerDrained, ConnectionStopped) as events:
        service.server.drain(SOON)
        assert events.wait_for(ServerDrained).closed == 1
        events.wait_for(ConnectionStopped)


@pytest.mark.parametrize("server_class", SIDE_BY_SIDE)
def test_a_with_block_drains_by_drain_timeout(server_class: type[BaseServer], tmp_path: Any) -> None:
    address = str(tmp_path / "socket") if server_class is ThreadPoolUnixStreamServer else ("127.0.0.1", 0)
    with events_of(ServerDrained) as events, server_class(address, Held, drain_timeout=SOON) as server:
        loop = Background(server.serve_forever, 60)
        client = connected_to(server)
        assert client.recv(3) == b"in\n"
    assert events.of(ServerDrained)[0].closed == 1
    loop.result()
    client.close()


def test_a_with_block_without_drain_timeout_does_not_drain() -> None:
    with events_of(ServerDrained) as events, TCPServer(("127.0.0.1", 0), Upper):
        pass
    assert events == []


def test_a_server_that_never_served_drains_at_once() -> None:
    with ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
        assert Background(server.drain).result() == 0
        Background(server.serve_forever, 60).result()
