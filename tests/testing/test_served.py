"""`serving`: where it serves, how a test talks to the server, and what it says at the end."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

import pytest

from doorkeep import (
    BaseServer,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadPoolTCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from doorkeep.events import ServerStopped
from doorkeep.testing import LeakError, events_of, served, serving
from tests.sample_handlers import Gate, Held, Upper, UpperDatagram


@pytest.mark.parametrize(
    ("server_class", "handler"),
    [
        (TCPServer, Upper),
        (ThreadingTCPServer, Upper),
        (ThreadPoolTCPServer, Upper),
        (ForkingTCPServer, Upper),
        (UnixStreamServer, Upper),
        (UDPServer, UpperDatagram),
        (UnixDatagramServer, UpperDatagram),
    ],
)
def test_exchanges_with_every_kind_of_server(server_class: type[BaseServer], handler: type) -> None:
    with serving(server_class, handler) as service:
        assert isinstance(service.server, server_class)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert service.exchange(b"again\n") == b"AGAIN\n"


def test_serves_on_a_free_port_of_loopback() -> None:
    with serving(TCPServer, Upper) as service:
        host, port = service.address
        assert host == "127.0.0.1"
        assert port > 0


def test_an_address_of_the_own_is_served() -> None:
    with serving(TCPServer, Upper, ("127.0.0.2", 0)) as service:
        assert service.address[0] == "127.0.0.2"
        assert service.exchange(b"here\n") == b"HERE\n"


def test_a_server_on_every_address_is_reached_by_loopback() -> None:
    with serving(TCPServer, Upper, ("0.0.0.0", 0)) as service:
        assert service.server.server_address[0] == "0.0.0.0"
        assert service.address[0] == "127.0.0.1"
        assert service.exchange(b"here\n") == b"HERE\n"


def test_a_unix_socket_leaves_no_file() -> None:
    with serving(UnixStreamServer, Upper) as service:
        path = service.address
        assert os.path.exists(path)
    assert not os.path.exists(os.path.dirname(path))


def test_settings_reach_the_server() -> None:
    with serving(ThreadPoolTCPServer, Upper, pool_size=3) as service:
        assert service.server.pool_size == 3


def test_the_client_stays_connected() -> None:
    with serving(ThreadingTCPServer, Upper) as service:
        service.client.sendall(b"one\n")
        assert service.client.recv(100) == b"ONE\n"
        service.client.sendall(b"two\n")
        assert service.client.recv(100) == b"TWO\n"
        assert service.client.gettimeout() == served.TIMEOUT


def test_further_clients_are_others_and_all_are_closed_at_the_end() -> None:
    with serving(ThreadingTCPServer, Upper) as service:
        clients = [service.client, service.connect(), service.connect()]
        assert len({client.getsockname() for client in clients}) == 3
    assert [client.fileno() for client in clients] == [-1, -1, -1]


def test_an_answer_longer_than_all_buffers_is_read_whole() -> None:
    lines = b"a line of text\n" * 400_000
    with serving(ThreadingTCPServer, Upper) as service:
        assert service.exchange(lines) == lines.upper()


def test_a_server_that_leaves_without_reading_ends_the_exchange() -> None:
    class Refusing(StreamRequestHandler):
        def handle(self) -> None:
            self.request.close()

    with serving(ThreadingTCPServer, Refusing) as service:
        assert service.exchange(b"x" * 10_000_000) == b""


def test_an_answer_that_does_not_come_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "TIMEOUT", 0.05)
    gate = Gate()
    with serving(ThreadingTCPServer, gate) as service:
        with pytest.raises(TimeoutError):
            service.exchange(b"anybody?")
        gate.open()


def test_a_client_that_cannot_connect_leaves_no_descriptor() -> None:
    with serving(TCPServer, Upper) as service:
        service.server.drain()
        with pytest.raises(ConnectionRefusedError):
            service.connect()


class Failing(TCPServer):
    def service_actions(self) -> None:
        raise LookupError("in the loop")


def test_what_serve_forever_raises_is_raised_at_the_end() -> None:
    with (
        events_of(ServerStopped) as events,
        pytest.raises(LookupError, match="in the loop"),
        serving(Failing, Upper) as service,
    ):
        service.exchange(b"")
        events.wait_for(ServerStopped)


def test_an_exception_of_the_block_comes_first() -> None:
    with (
        events_of(ServerStopped) as events,
        pytest.raises(ZeroDivisionError),
        serving(Failing, Upper) as service,
    ):
        service.exchange(b"")
        events.wait_for(ServerStopped)
        raise ZeroDivisionError


def test_a_request_in_progress_ends_when_its_client_is_closed() -> None:
    with serving(ThreadingTCPServer, Held) as service:
        assert service.client.recv(3) == b"in\n"
    assert service.server.stats().active == 0


def test_names_the_thread_that_is_left_behind() -> None:
    release = threading.Event()
    started = []

    class Forgetful(StreamRequestHandler):
        def handle(self) -> None:
            thread = threading.Thread(target=release.wait, name="forgotten")
            started.append(thread)
            thread.start()
            self.wfile.write(b"started")

    try:
        with pytest.raises(LeakError, match="thread forgotten"), serving(TCPServer, Forgetful) as service:
            service.exchange(b"")
    finally:
        release.set()
        started[0].join()


def test_servers_within_each_other_are_not_taken_for_leaks() -> None:
    with serving(ThreadingTCPServer, Upper) as outer, serving(ThreadingTCPServer, Upper) as inner:
        for service in (outer, inner):
            service.client.sendall(b"hello\n")
            assert service.client.recv(100) == b"HELLO\n"


def test_the_outermost_server_tells_of_leaks_within() -> None:
    inner_ended = False
    with (
        pytest.raises(LeakError, match="fd"),
        serving(TCPServer, Upper),
    ):
        with serving(TCPServer, Upper):
            leaked = socket.socket()
        inner_ended = True
    leaked.close()
    assert inner_ended


def test_a_handler_that_never_ends_is_reported_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "DRAIN_TIMEOUT", 0.05)
    gate = Gate()
    try:
        with (
            pytest.raises(LeakError, match="process_request_thread"),
            serving(ThreadingTCPServer, gate) as service,
        ):
            service.connect()
            gate.wait_entered()
    finally:
        gate.open()


def test_a_server_that_cannot_be_made_leaves_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="Address already in use"),
        serving(TCPServer, Upper, taken.getsockname()),
    ):
        pytest.fail("served at an address that was taken")


def test_a_server_may_be_shut_down_by_the_test() -> None:
    with serving(ThreadingTCPServer, Upper) as service:
        service.server.shutdown()
        service.server.server_close()
    assert service.server.fileno() == -1


def test_an_empty_datagram_is_an_answer() -> None:
    class Silent(UpperDatagram):
        def handle(self) -> Any:
            """Write nothing."""

    with serving(UDPServer, Silent) as service:
        assert service.exchange(b"hello") == b""
