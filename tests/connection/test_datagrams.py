"""Datagrams: what is cut is told, and a reply leaves from the address that was asked."""

from __future__ import annotations

import gc
import socket
import struct
import sys
import weakref
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    DatagramRequestHandler,
    ForkingUDPServer,
    ThreadingUDPServer,
    ThreadPoolUDPServer,
    UDPServer,
    UnixDatagramServer,
)
from doorkeep.connection import datagrams
from doorkeep.connection.datagrams import ReplySockets, TruncatedDatagram
from doorkeep.events import DatagramTruncated
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import UpperDatagram

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's IP_PKTINFO")
UDP_SERVERS = [UDPServer, ThreadingUDPServer, ThreadPoolUDPServer, ForkingUDPServer]


class Truncation(DatagramRequestHandler):
    """Answers what came, and whether it is all of it."""

    def handle(self) -> None:
        self.wfile.write(f"{self.packet.decode()} {self.truncated}".encode())


class TestTruncation:
    @pytest.mark.parametrize("server_class", [*UDP_SERVERS, UnixDatagramServer])
    def test_is_flagged_counted_and_told(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Truncation, max_packet_size=4)
        with events_of(DatagramTruncated) as recorder:
            assert served.exchange(b"abcde") == b"abcd True"
        assert served.server.stats().truncated == 1
        assert [event.size for event in recorder.of(DatagramTruncated)] == [4]

    @pytest.mark.parametrize("data", [b"", b"abc", b"abcd"])
    def test_of_one_that_fits_is_none(self, serve: Serve, data: bytes) -> None:
        served = serve(UDPServer, Truncation, max_packet_size=4)
        with events_of(DatagramTruncated) as recorder:
            assert served.exchange(data) == data + b" False"
        assert served.server.stats().truncated == 0
        assert list(recorder) == []

    def test_is_seen_on_every_address_too(self, serve: Serve) -> None:
        served = serve(UDPServer, Truncation, ("0.0.0.0", 0), max_packet_size=4)
        assert served.exchange(b"abcd") == b"abcd False"
        assert served.exchange(b"abcde") == b"abcd True"
        assert served.server.stats().truncated == 1

    def test_follows_the_setting_at_once(self, serve: Serve) -> None:
        served = serve(UDPServer, Truncation)
        assert served.exchange(b"abcde") == b"abcde False"
        served.server.max_packet_size = 2
        assert served.exchange(b"abcde") == b"ab True"

    def test_leaves_the_request_a_tuple(self) -> None:
        request = TruncatedDatagram((b"data", "socket"))
        assert isinstance(request, tuple)
        data, sock = request
        assert (data, sock, request.truncated) == (b"data", "socket", True)


class TestEmptyReplies:
    def test_are_sent_as_in_the_standard_library(self, serve: Serve) -> None:
        served = serve(UDPServer, DatagramRequestHandler)
        assert served.exchange(b"anybody?") == b""

    def test_are_not_sent_where_that_is_set(self, serve: Serve) -> None:
        class OnlyIfAsked(DatagramRequestHandler):
            def handle(self) -> None:
                if self.packet == b"answer":
                    self.wfile.write(b"here")

        served = serve(UDPServer, OnlyIfAsked, reply_when_empty=False)
        served.client.send(b"say nothing")
        served.client.send(b"answer")
        assert served.client.recv(100) == b"here"


@linux_only
class TestReplyAddress:
    """Clients that ask one address of a server on all addresses; they are connected, and so hear no other."""

    @pytest.mark.parametrize("server_class", UDP_SERVERS)
    def test_is_the_one_asked(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, UpperDatagram, ("0.0.0.0", 0))
        port = served.server.server_address[1]
        for host in ("127.0.0.1", "127.0.0.2", "127.1.2.3"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(30)
                client.connect((host, port))
                client.send(b"hello")
                assert client.recv(100) == b"HELLO"

    @pytest.mark.parametrize(
        ("family", "host"), [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2")]
    )
    def test_is_the_one_asked_on_both_stacks(self, serve: Serve, family: int, host: str) -> None:
        served = serve(UDPServer, UpperDatagram, ("::", 0))
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect((host, served.server.server_address[1]))
            client.send(b"hello")
            assert client.recv(100) == b"HELLO"

    def test_serves_handlers_that_send_by_themselves(self, serve: Serve) -> None:
        class Sends(BaseRequestHandler):
            def handle(self) -> None:
                data, sock = self.request
                sock.sendto(data + b" plain", self.client_address)
                sock.sendto(data + b" with flags", socket.MSG_DONTWAIT, self.client_address)

        served = serve(UDPServer, Sends, ("0.0.0.0", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect(("127.0.0.2", served.server.server_address[1]))
            client.send(b"hello")
            assert [client.recv(100), client.recv(100)] == [b"hello plain", b"hello with flags"]

    def test_many_addresses_cost_few_sockets(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket for each address asked, the oldest of which makes way: the fixture counts descriptors."""
        monkeypatch.setattr(datagrams, "_MOST_SOCKETS", 2)
        served = serve(ThreadingUDPServer, UpperDatagram, ("0.0.0.0", 0))
        for last in (1, 2, 3, 4, 1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(30)
                client.connect((f"127.0.0.{last}", served.server.server_address[1]))
                client.send(b"hello")
                assert client.recv(100) == b"HELLO"
        replies = served.server._reply_sockets
        assert replies is not None
        assert len(replies._sockets) == 2

    def test_a_server_on_one_address_has_no_sockets_for_it(self) -> None:
        with UDPServer(("127.0.0.1", 0), UpperDatagram) as server:
            assert server._reply_sockets is None

    def test_a_socket_that_the_program_put_there_is_used_as_it_is(self, serve: Serve) -> None:
        class Replaces(UDPServer):
            def server_activate(self) -> None:
                port = self.socket.getsockname()[1]
                self.socket.close()
                self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.socket.bind(("127.0.0.1", port))

        served = serve(Replaces, UpperDatagram, ("0.0.0.0", 0))
        assert served.exchange(b"hello") == b"HELLO"

    def test_keeps_no_reference_to_the_socket(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind(("0.0.0.0", 0))
            replies = ReplySockets.for_listener(listener)
            assert replies is not None
            reference = weakref.ref(listener)
        del listener
        gc.collect()
        assert reference() is None

    def test_a_question_to_a_group_is_answered_by_one(self, serve: Serve) -> None:
        class Joins(UDPServer):
            def server_bind(self) -> None:
                super().server_bind()
                group = socket.inet_aton("239.1.2.3") + socket.inet_aton("127.0.0.1")
                self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)

        served = serve(Joins, UpperDatagram, ("0.0.0.0", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            client.sendto(b"hello", ("239.1.2.3", served.server.server_address[1]))
            assert client.recvfrom(100) == (b"HELLO", served.address)

    def test_a_multicast_group_is_no_address_to_reply_from(self) -> None:
        """The kernel refuses to send from one (EINVAL); a link-local address needs its interface, others do not."""
        group = socket.inet_pton(socket.AF_INET6, "ff02::fb")
        link_local = socket.inet_pton(socket.AF_INET6, "fe80::1")
        ours = socket.inet_pton(socket.AF_INET6, "::1")
        sources = {
            asked: struct.unpack("=16sI", datagrams._source_of(socket.IPPROTO_IPV6, struct.pack("=16sI", asked, 7)))
            for asked in (group, link_local, ours)
        }
        assert sources == {group: (bytes(16), 7), link_local: (link_local, 7), ours: (ours, 0)}
