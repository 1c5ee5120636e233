"""What the kernel tells of a peer, held against what the peer has really done."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
from typing import Any, ClassVar
from unittest.mock import MagicMock

import pytest

from doorkeep import (
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.connection.peers import (
    Credentials,
    Traffic,
    credentials_of,
    idle_seconds_of,
    is_disconnect,
    traffic_of,
    unsent_of,
)
from doorkeep.events import ConnectionStopped
from doorkeep.testing import FaultySocket, events_of
from doorkeep.testing.plugin import Serve
from tests.background import eventually
from tests.connection.certificates import Certificates
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.sample_handlers import Upper

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's TCP_INFO and SO_PEERCRED")
NO_SOCKETS: list[Any] = [None, (b"data", "socket"), MagicMock(), MagicMock(family=socket.AF_INET)]


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), ConnectionResetError(), ssl.SSLEOFError(), ssl.SSLZeroReturnError()]
)
def test_a_peer_that_has_gone(error: Exception) -> None:
    assert is_disconnect(error)


@pytest.mark.parametrize("error", [OSError(), TimeoutError(), ssl.SSLError(), EOFError(), KeyboardInterrupt()])
def test_other_failures_are_none_of_the_peers(error: BaseException) -> None:
    assert not is_disconnect(error)


@linux_only
class TestCredentials:
    def test_of_a_unix_socket(self) -> None:
        left, right = socket.socketpair(socket.AF_UNIX)
        with left, right:
            assert credentials_of(left) == Credentials(os.getpid(), os.getuid(), os.getgid())

    def test_of_others_are_not_known(self) -> None:
        with tcp_pair() as (accepted, _):
            assert credentials_of(accepted) is None

    @pytest.mark.parametrize("request_", NO_SOCKETS, ids=["none", "datagram", "mock", "mock of a TCP socket"])
    def test_of_what_is_no_socket_are_not_known(self, request_: Any) -> None:
        assert credentials_of(request_) is None

    def test_of_a_closed_socket_are_not_known(self) -> None:
        left, right = socket.socketpair(socket.AF_UNIX)
        left.close()
        right.close()
        assert credentials_of(left) is None

    @pytest.mark.parametrize(("uid", "known"), [(65534, True), (2**31, True), (2**32 - 2, True), (2**32 - 1, False)])
    def test_large_numbers_are_no_negative_ones(self, uid: int, known: bool) -> None:
        left, right = socket.socketpair(socket.AF_UNIX)
        with FaultySocket(left, getsockopt=[struct.pack("iII", 7, uid, uid)]) as asked, right:
            assert credentials_of(asked) == (Credentials(7, uid, uid) if known else None)


@linux_only
class TestTraffic:
    def test_of_a_new_connection(self) -> None:
        with tcp_pair() as (accepted, _):
            traffic = traffic_of(accepted)
            assert (traffic.received, traffic.sent) == (0, 0)
            assert traffic.round_trip_time is not None
            assert 0 < traffic.round_trip_time < 60

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_counts_each_byte(self, host: str) -> None:
        with tcp_pair(host) as (accepted, client):
            client.sendall(b"x" * 12_345)
            receive_exactly(accepted, 12_345)
            accepted.sendall(b"y" * 678)
            receive_exactly(client, 678)
            traffic = traffic_of(accepted)
            assert (traffic.received, traffic.sent) == (12_345, 678)

    def test_counts_what_nobody_has_read_yet(self) -> None:
        with tcp_pair() as (accepted, client):
            client.sendall(b"hello")
            accepted.recv(5, socket.MSG_PEEK)
            assert traffic_of(accepted).received == 5

    def test_the_end_of_the_peers_stream_is_no_byte(self) -> None:
        with tcp_pair() as (accepted, client):
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_exactly(accepted, 5) == b"hello"
            assert accepted.recv(1) == b""
            assert traffic_of(accepted).received == 5

    def test_our_own_end_is_no_byte(self) -> None:
        with tcp_pair() as (accepted, client):
            accepted.sendall(b"hello")
            accepted.shutdown(socket.SHUT_WR)
            assert receive_exactly(client, 5) == b"hello"
            assert client.recv(1) == b""
            assert traffic_of(accepted).sent == 5

    def test_both_ends_are_no_bytes(self) -> None:
        with tcp_pair() as (accepted, client):
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert receive_exactly(accepted, 5) == b"hello"
            assert accepted.recv(1) == b""
            accepted.sendall(b"good day")
            accepted.shutdown(socket.SHUT_WR)
            assert receive_exactly(client, 8) == b"good day"
            assert client.recv(1) == b""
            assert (traffic_of(accepted).received, traffic_of(accepted).sent) == (5, 8)

    @pytest.mark.parametrize("request_", NO_SOCKETS, ids=["none", "datagram", "mock", "mock of a TCP socket"])
    def test_of_what_is_no_socket_is_not_known(self, request_: Any) -> None:
        assert traffic_of(request_) == Traffic()

    def test_of_a_unix_socket_is_not_known(self) -> None:
        left, right = socket.socketpair(socket.AF_UNIX)
        with left, right:
            assert traffic_of(left) == Traffic()

    def test_of_a_closed_connection_is_not_known(self) -> None:
        with tcp_pair() as (accepted, _):
            accepted.close()
            assert traffic_of(accepted) == Traffic()

    def test_of_an_older_kernel_is_not_known(self) -> None:
        with tcp_pair() as (accepted, _), FaultySocket(accepted, getsockopt=[bytes(104)]) as asked:
            assert traffic_of(asked) == Traffic()


@linux_only
class TestTrafficOfServers:
    """As the end of a connection tells it, by an event."""

    SERVERS: ClassVar[list[Any]] = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer]

    @pytest.mark.parametrize("server_class", SERVERS)
    def test_where_the_client_ends_first(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Upper)
        with events_of(ConnectionStopped) as recorder:
            assert served.exchange(b"hello\nworld\n") == b"HELLO\nWORLD\n"
            stopped = recorder.wait_for(ConnectionStopped)
        assert (stopped.received, stopped.sent) == (12, 12)
        assert stopped.round_trip_time is not None
        assert 0 < stopped.round_trip_time < 60

    @pytest.mark.parametrize("server_class", SERVERS)
    def test_where_the_server_ends_first(self, serve: Serve, server_class: Any) -> None:
        class OneLine(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(self.rfile.readline() * 1000)

        served = serve(server_class, OneLine)
        with events_of(ConnectionStopped) as recorder:
            served.client.sendall(b"hello\n")
            receive_exactly(served.client, 6000)
            stopped = recorder.wait_for(ConnectionStopped)
        assert (stopped.received, stopped.sent) == (6, 6000)

    def test_where_the_client_resets(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Upper)
        with events_of(ConnectionStopped) as recorder:
            served.client.sendall(b"hello\n")
            receive_exactly(served.client, 6)
            served.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.client.close()
            stopped = recorder.wait_for(ConnectionStopped)
        assert stopped.received in (5, 6)
        assert stopped.sent == 6

    def test_under_tls_is_what_went_over_the_line(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(ThreadingTCPServer, Upper, ssl_context=certificates.server_context())
        with events_of(ConnectionStopped) as recorder:
            with certificates.connect(served.address) as client:
                client.sendall(b"hello\n")
                assert client.recv(6) == b"HELLO\n"
                theirs = traffic_of(client)
            stopped = recorder.wait_for(ConnectionStopped)
        assert theirs.sent is not None
        assert theirs.received is not None
        assert stopped.received is not None
        assert stopped.sent is not None
        assert stopped.received >= theirs.sent > 6
        assert stopped.sent >= theirs.received > 6

    def test_of_unix_sockets_is_not_known(self, serve: Serve) -> None:
        served = serve(ThreadingUnixStreamServer, Upper)
        with events_of(ConnectionStopped) as recorder:
            served.exchange(b"hello\n")
            stopped = recorder.wait_for(ConnectionStopped)
        assert (stopped.received, stopped.sent, stopped.round_trip_time) == (None, None, None)


@linux_only
class TestIdleTime:
    @pytest.mark.parametrize(
        ("since_sent", "since_received", "idle"), [(1500, 20_000, 1.5), (20_000, 1500, 1.5), (0, 0, 0.0)]
    )
    def test_is_that_since_the_last_byte_either_way(self, since_sent: int, since_received: int, idle: float) -> None:
        """At their places in struct tcp_info of linux/tcp.h: tcpi_last_data_sent, tcpi_last_data_recv."""
        info = bytearray(216)
        struct.pack_into("=I", info, 44, since_sent)
        struct.pack_into("=I", info, 52, since_received)
        with tcp_pair() as (accepted, _), FaultySocket(accepted, getsockopt=[bytes(info)]) as asked:
            assert idle_seconds_of(asked) == idle

    def test_of_a_connection_that_was_just_used(self) -> None:
        with tcp_pair() as (accepted, client):
            client.sendall(b"x")
            accepted.recv(1)
            idle = idle_seconds_of(accepted)
            assert idle is not None
            assert 0 <= idle < 60

    def test_of_a_unix_socket_is_not_known(self) -> None:
        left, right = socket.socketpair(socket.AF_UNIX)
        with left, right:
            assert idle_seconds_of(left) is None


@linux_only
class TestUnsent:
    """What waits for the peer."""

    def test_is_nothing_when_the_peer_has_taken_all(self) -> None:
        with tcp_pair() as (accepted, client):
            assert unsent_of(accepted) == (False, 0)
            accepted.sendall(b"hello")
            assert receive_exactly(client, 5) == b"hello"
            assert eventually(lambda: unsent_of(accepted) == (False, 5))

    def test_is_something_while_the_peer_takes_nothing(self) -> None:
        with tcp_pair() as (accepted, client):
            accepted.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    accepted.send(bytes(1 << 16))
            found = unsent_of(accepted)
            assert found is not None
            assert found[0]
            assert client.recv(1)

    @pytest.mark.parametrize("request_", NO_SOCKETS, ids=["none", "datagram", "mock", "mock of TCP"])
    def test_of_what_is_no_socket_is_not_known(self, request_: Any) -> None:
        assert unsent_of(request_) is None
