"""Datagrams in greenlets: in batches where nothing stands against it, and as threads would see them in any case."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, BaseServer, DatagramRequestHandler
from doorkeep.concurrency import greenlets
from doorkeep.concurrency.greenlets import GreenTCPServer, GreenUDPServer, GreenUnixDatagramServer
from doorkeep.events import DatagramTruncated, RequestFailed, RequestRefused
from doorkeep.green import Event
from doorkeep.green import serve as serve_together
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Upper, UpperDatagram

SERVERS = [GreenUDPServer, GreenUnixDatagramServer]
UDP_SEGMENT = 103  # of linux/udp.h; udp(7)


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(data, self.client_address)


class Address(BaseRequestHandler):
    def handle(self) -> None:
        self.request[1].sendto(repr(self.client_address).encode(), self.client_address)


@pytest.mark.parametrize("handler", [Echo, UpperDatagram])
@pytest.mark.parametrize("server_class", SERVERS)
def test_many_are_answered_in_order(serve: Serve, server_class: type[BaseServer], handler: type) -> None:
    service = serve(server_class, handler)
    # A Unix socket holds ten; replies that wait for room may change places with those that come when there is some.
    at_once = 100 if server_class is GreenUDPServer else 5
    for first in range(0, 100, at_once):
        sent = [b"%03d" % number for number in range(first, first + at_once)]
        for data in sent:
            service.client.send(data)
        assert [service.client.recv(9) for _ in sent] == sent
    assert eventually(lambda: service.server.stats().accepted == 100)


@pytest.mark.parametrize("address", [("127.0.0.1", 0), ("::1", 0), ("0.0.0.0", 0), ("::", 0)])
def test_clients_have_the_address_that_they_send_from(address: tuple[str, int]) -> None:
    with GreenUDPServer(address, Address) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with socket.socket(server.address_family, socket.SOCK_DGRAM) as client:
                client.settimeout(30)
                client.connect((address[0], server.server_address[1]))
                client.send(b"")
                assert client.recv(99).decode() == repr(client.getsockname())
        finally:
            server.shutdown()
            thread.join()


def ask_address(server: BaseServer, client: socket.socket) -> bool:
    """Return whether the server tells the client's own address."""
    client.settimeout(30)
    client.sendto(b"", server.server_address)
    return client.recv(99).decode() == repr(client.getsockname())


def test_clients_with_ports_that_end_alike_are_told_apart(serve: Serve) -> None:
    service = serve(GreenUDPServer, Address)
    with ExitStack() as stack:
        # Some of so many ports have the last byte in common.
        clients = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(300)]
        for client in clients:
            client.bind(("127.0.0.1", 0))
        for _ in range(2):
            assert all(ask_address(service.server, client) for client in clients)


def test_more_clients_than_are_remembered(serve: Serve) -> None:
    service = serve(GreenUDPServer, Address)
    for _ in range(4200):
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            assert ask_address(service.server, client)


def test_replies_with_flags(serve: Serve) -> None:
    class Flags(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            with pytest.raises(TypeError):
                sock.sendto(data)
            with pytest.raises(TypeError):
                sock.sendto(data, 0, self.client_address, 0)
            sock.sendto(data, 0, self.client_address)

    assert serve(GreenUDPServer, Flags).exchange(b"flags") == b"flags"


@pytest.mark.parametrize("server_class", SERVERS)
def test_a_handler_that_waits_holds_up_no_other(serve: Serve, server_class: type[BaseServer]) -> None:
    released = Event()

    class Waits(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            if data == b"wait":
                released.wait(30)
            sock.sendto(data, self.client_address)
            if data == b"release":
                released.set()

    service = serve(server_class, Waits)
    for data in (b"wait", b"a", b"wait", b"b"):
        service.client.send(data)
    assert [service.client.recv(9) for _ in range(2)] == [b"a", b"b"]
    assert eventually(lambda: service.server.stats().active == 2)
    service.client.send(b"release")
    assert [service.client.recv(9) for _ in range(3)] == [b"release", b"wait", b"wait"]
    assert eventually(lambda: service.server.stats().active == 0)


class Unusual(BaseException):
    """No `Exception`."""


@pytest.mark.parametrize("kind", [RuntimeError, Unusual])
@pytest.mark.parametrize("server_class", SERVERS)
def test_an_exception_costs_one(serve: Serve, server_class: type[BaseServer], kind: type[BaseException]) -> None:
    class Fails(Echo):
        def handle(self) -> None:
            if self.request[0] == b"fail":
                raise kind("it failed")
            super().handle()

    service = serve(server_class, Fails)
    with events_of(RequestFailed) as events:
        for data in (b"one", b"fail", b"two"):
            service.client.send(data)
        assert [service.client.recv(9) for _ in range(2)] == [b"one", b"two"]
        assert len(events) == 1
    assert service.server.stats().failed == 1


def test_a_reply_leaves_while_its_handler_waits(serve: Serve) -> None:
    released = Event()

    class AnswersFirst(Echo):
        def handle(self) -> None:
            super().handle()
            released.wait(30)

    service = serve(GreenUDPServer, AnswersFirst)
    assert service.exchange(b"hello") == b"hello"
    released.set()


def test_long_ones_are_cut_and_told(serve: Serve) -> None:
    class Truncated(DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"%d %d" % (len(self.packet), self.truncated))

    service = serve(GreenUDPServer, Truncated, max_packet_size=100)
    with events_of(DatagramTruncated) as events:
        assert [service.exchange(bytes(size)) for size in (99, 100, 101)] == [b"99 0", b"100 0", b"100 1"]
    assert len(events) == 1
    assert service.server.stats().truncated == 1


def test_datagrams_without_end_leave_others_their_turn() -> None:
    def is_served(server: GreenTCPServer) -> bool:
        with connected_to(server) as client:
            client.sendall(b"hello\n")
            return client.recv(100) == b"HELLO\n"

    class Feeds(BaseRequestHandler):
        def handle(self) -> None:
            self.request[1].sendto(b"one more", self.server.server_address)

    with GreenUDPServer(("127.0.0.1", 0), Feeds) as udp, GreenTCPServer(("127.0.0.1", 0), Upper) as tcp:
        together = Background(serve_together, udp, tcp)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"begin", udp.server_address)
            assert eventually(lambda: udp.stats().accepted > 1000)
            assert is_served(tcp)
            udp.suspend()
            assert is_served(tcp)  # and what was under way is over
            taken = udp.stats().accepted
            assert is_served(tcp)
            assert udp.stats().accepted == taken
            udp.resume()
            assert eventually(lambda: udp.stats().accepted > taken + 1000)
        finally:
            udp.shutdown()
            tcp.shutdown()
            together.result()


def test_none_is_left_by_a_handler_that_has_waited(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    released = Event()

    class Waits(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            if data == b"first":
                released.wait(30)
                # The greenlet that runs this could be the first to see them.
                for more in (b"wait", b"last"):
                    client.send(more)
            elif data == b"wait":
                done.wait(30)
            sock.sendto(data, self.client_address)

    monkeypatch.setattr(greenlets, "_TURN", 30)
    done = Event()
    service = serve(GreenUDPServer, Waits)
    client = service.client
    client.send(b"first")
    assert eventually(lambda: service.server.stats().active == 1)
    released.set()
    assert [client.recv(9) for _ in range(2)] == [b"first", b"last"]
    done.set()
    assert client.recv(9) == b"wait"


def test_max_packet_size_may_change(serve: Serve) -> None:
    service = serve(GreenUDPServer, Echo, max_packet_size=100)
    assert len(service.exchange(bytes(10_000))) == 100
    service.server.max_packet_size = 20_000
    assert len(service.exchange(bytes(10_000))) == 10_000
    assert service.server.stats().truncated == 1


@pytest.mark.parametrize("size", [0, 1, 1200, 1201, 60000])
def test_replies_of_any_size(serve: Serve, size: int) -> None:
    service = serve(GreenUDPServer, Echo, max_packet_size=65535)
    assert service.exchange(bytes(size)) == bytes(size)


def test_a_reply_that_cannot_be_sent_is_told(serve: Serve) -> None:
    class TooMuch(BaseRequestHandler):
        def handle(self) -> None:
            self.request[1].sendto(bytes(70000), self.client_address)

    service = serve(GreenUDPServer, TooMuch)
    with events_of(RequestFailed) as events:
        service.client.send(b"")
        assert eventually(lambda: events)
    (event,) = events.of(RequestFailed)
    assert isinstance(event.error, OSError)


def test_a_reply_that_fails_among_others_costs_none_of_them(serve: Serve) -> None:
    class Answers(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(bytes(1000) if data == b"l" else data, self.client_address)

    service = serve(GreenUDPServer, Answers)
    try:
        # Segments of a byte: of so many as a long one needs, the kernel makes none.
        service.server.socket.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1)
    except OSError:
        prerequisites.lack("this system sends no datagrams in segments")
    with events_of(RequestFailed) as events:
        for data in (b"1", b"2", b"l", b"3", b"4"):
            service.client.send(data)
        assert [service.client.recv(9) for _ in range(4)] == [b"1", b"2", b"3", b"4"]
        assert eventually(lambda: events)
    (event,) = events.of(RequestFailed)
    assert isinstance(event.error, OSError)


class TestHooks:
    def test_of_the_program_are_called_for_each(self, serve: Serve) -> None:
        seen: list[tuple[str, Any]] = []

        class Hooked(GreenUDPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                seen.append(("verify", request[0]))
                return bool(request[0] != b"no")

            def process_request(self, request: Any, client_address: Any) -> None:
                seen.append(("process", request[0]))
                super().process_request(request, client_address)

        service = serve(Hooked, Echo)
        service.client.send(b"no")
        assert service.exchange(b"yes") == b"yes"
        assert seen == [("verify", b"no"), ("verify", b"yes"), ("process", b"yes")]

    def test_put_on_a_server_that_serves(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        service = serve(GreenUDPServer, Echo)
        assert service.exchange(b"one") == b"one"
        seen: list[object] = []

        def refuse(request: object, client_address: object) -> bool:
            seen.append(request)
            return False

        monkeypatch.setattr(service.server, "verify_request", refuse)
        # The first of them may come in the turn that is not over yet.
        assert eventually(lambda: service.client.send(b"two") and seen)

    def test_limits_are_kept(self, serve: Serve) -> None:
        service = serve(GreenUDPServer, Echo, deny=["127.0.0.0/8"])
        with events_of(RequestRefused) as events:
            service.client.send(b"hello")
            assert eventually(lambda: events)
        service.server.deny = None
        assert service.exchange(b"again") == b"again"


def test_a_socket_of_the_programs_own_serves(serve: Serve) -> None:
    class Own(GreenUDPServer):
        def server_bind(self) -> None:
            self.socket.close()
            self.socket = socket.socket(self.address_family, self.socket_type)
            super().server_bind()

    assert serve(Own, Echo).exchange(b"hello") == b"hello"
