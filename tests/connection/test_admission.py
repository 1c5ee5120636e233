"""Who may come in, and how many: with every kind of server, and told by counts and events."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import pytest

from doorkeep import (
    ForkingTCPServer,
    ForkingUDPServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
    ThreadPoolUDPServer,
    UDPServer,
    UnixDatagramServer,
)
from doorkeep.events import ListenerResumed, ListenerSuspended, RequestRefused
from doorkeep.testing import Served, events_of
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import Gate, Held, Upper, UpperDatagram

SIDE_BY_SIDE = [ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]
SIDE_BY_SIDE_DATAGRAMS = [ThreadingUDPServer, ThreadPoolUDPServer]


def connect_from(served: Served[Any], host: str) -> socket.socket:
    """Return a client whose own address is `host`."""
    return socket.create_connection(served.address, timeout=30, source_address=(host, 0))


def enter(client: socket.socket) -> bool:
    """Return whether the client of a `Held` handler was let in, rather than turned away."""
    try:
        return client.recv(3) == b"in\n"
    except ConnectionResetError:
        return False


def leave(client: socket.socket) -> None:
    """End the client's conversation with a `Held` handler, and see it end.

    To close the client would not do: the children of a forking server hold it too.
    """
    client.shutdown(socket.SHUT_WR)
    assert client.recv(4) == b"out\n"
    assert client.recv(1) == b""


def wait_for_active(served: Served[Any], count: int) -> None:
    """Wait until the server handles so many requests at the most."""
    connections = served.server._requests_in_progress
    assert connections.wait(lambda: len(connections) <= count, 30)


class TestWaitingAtTheLimit:
    @pytest.mark.parametrize("server_class", [TCPServer, *SIDE_BY_SIDE])
    def test_clients_wait_their_turn(self, serve: Serve, server_class: Any) -> None:
        class Peak(server_class):  # type: ignore[misc]  # a base that is known only now
            peak = 0

            def process_request(self, request: Any, client_address: Any) -> None:
                self.peak = max(self.peak, self._count_active())
                super().process_request(request, client_address)

        limit = 1 if server_class is TCPServer else 3
        served = serve(Peak, Held, max_connections=limit)
        clients = [served.connect() for _ in range(8)]
        for client in clients[:limit]:
            assert enter(client)
        for number, client in enumerate(clients):
            leave(client)
            if number + limit < len(clients):
                assert enter(clients[number + limit])
        assert served.server.peak == limit
        assert served.server.stats().refused == {}

    @pytest.mark.parametrize("server_class", SIDE_BY_SIDE)
    def test_events_tell_that_the_server_is_full_and_that_it_is_not_any_more(
        self, serve: Serve, server_class: Any
    ) -> None:
        served = serve(server_class, Held, max_connections=1)
        with events_of(ListenerSuspended, ListenerResumed) as recorder:
            client = served.connect()
            assert enter(client)
            assert recorder.wait_for(ListenerSuspended).reason == "limit"
            leave(client)
            recorder.wait_for(ListenerResumed)

    def test_a_higher_limit_lets_the_next_in(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held, max_connections=1)
        with events_of(ListenerSuspended) as recorder:
            first, second = served.connect(), served.connect()
            assert enter(first)
            recorder.wait_for(ListenerSuspended)
            served.server.max_connections = 2
            assert enter(second)

    def test_a_lower_limit_ends_nobody(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held, max_connections=3)
        clients = [served.connect() for _ in range(3)]
        assert all(enter(client) for client in clients)
        served.server.max_connections = 1
        for client in clients:
            leave(client)
        assert enter(served.connect())


class TestClosingAtTheLimit:
    @pytest.mark.parametrize("server_class", SIDE_BY_SIDE)
    def test_one_too_many_is_closed(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Held, max_connections=2, at_limit="close")
        first, second = served.connect(), served.connect()
        assert enter(first)
        assert enter(second)
        with events_of(RequestRefused) as recorder:
            refused = served.connect()
            assert not enter(refused)
        assert list(recorder) == [RequestRefused(served.server, refused.getsockname(), "limit")]
        assert served.server.stats().refused == {"limit": 1}
        leave(first)
        wait_for_active(served, 1)
        third = served.connect()
        assert enter(third)
        leave(second)
        leave(third)

    def test_one_after_the_other_is_never_one_too_many(self, serve: Serve) -> None:
        served = serve(TCPServer, Upper, max_connections=1, at_limit="close")
        assert [served.exchange(b"hello\n") for _ in range(3)] == [b"HELLO\n"] * 3

    def test_a_pool_that_is_busy_makes_clients_wait_all_the_same(self, serve: Serve) -> None:
        served = serve(ThreadPoolTCPServer, Held, pool_size=1, max_connections=5, at_limit="close")
        first, second = served.connect(), served.connect()
        assert enter(first)
        leave(first)
        assert enter(second)
        assert served.server.stats().refused == {}


class TestLimitPerHost:
    @pytest.mark.parametrize("server_class", SIDE_BY_SIDE)
    def test_counts_each_host_for_itself(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Held, max_connections_per_host=2)
        clients = [connect_from(served, "127.0.0.1") for _ in range(2)]
        assert all(enter(client) for client in clients)
        with connect_from(served, "127.0.0.1") as refused, connect_from(served, "127.0.0.2") as other:
            assert not enter(refused)
            assert enter(other)
            leave(other)
        assert served.server.stats().refused == {"host limit": 1}
        leave(clients[0])
        wait_for_active(served, 1)
        with clients[0], clients[1], connect_from(served, "127.0.0.1") as next_one:
            assert enter(next_one)
            leave(next_one)
            leave(clients[1])

    def test_counts_from_when_it_is_set(self, serve: Serve) -> None:
        """Those that were there before count."""
        served = serve(ThreadingTCPServer, Held)
        assert enter(served.connect())
        served.server.max_connections_per_host = 1
        assert not enter(served.connect())
        served.server.max_connections_per_host = None
        assert enter(served.connect())

    def test_knows_an_ipv4_client_on_both_stacks_by_its_ipv4_address(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Held, ("::", 0), max_connections_per_host=1)
        port = served.server.server_address[1]
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as first,
            socket.create_connection(("::1", port), timeout=30) as other,
            socket.create_connection(("127.0.0.1", port), timeout=30) as refused,
        ):
            assert [enter(first), enter(other), enter(refused)] == [True, True, False]

    def test_means_nothing_to_unix_sockets(self, serve: Serve) -> None:
        served = serve(ThreadingUnixStreamServer, Held, max_connections_per_host=1)
        assert enter(served.connect())
        assert enter(served.connect())


EVERYBODY = None
NOBODY = ()


class TestAccessLists:
    @pytest.mark.parametrize(
        ("allow", "deny", "source", "comes_in"),
        [
            (EVERYBODY, None, "127.0.0.1", True),
            (NOBODY, None, "127.0.0.1", False),
            (EVERYBODY, (), "127.0.0.1", True),
            (("127.0.0.0/30",), None, "127.0.0.3", True),
            (("127.0.0.0/30",), None, "127.0.0.4", False),
            (("10.0.0.0/8", "127.0.0.2"), None, "127.0.0.2", True),
            ("127.0.0.1", None, "127.0.0.1", True),
            (EVERYBODY, "127.0.0.2", "127.0.0.2", False),
            (EVERYBODY, "127.0.0.2", "127.0.0.1", True),
            (("127.0.0.0/8",), ("127.0.0.2",), "127.0.0.2", False),
            (("127.0.0.2",), ("127.0.0.0/8",), "127.0.0.2", False),
            (("::/0",), None, "127.0.0.1", False),
            (("uid:0", "127.0.0.1"), None, "127.0.0.1", True),
            (("uid:0",), None, "127.0.0.1", False),
        ],
    )
    def test_of_ipv4(self, serve: Serve, allow: Any, deny: Any, source: str, comes_in: bool) -> None:
        served = serve(TCPServer, Held, allow=allow, deny=deny)
        with connect_from(served, source) as client:
            assert enter(client) is comes_in
        assert served.server.stats().refused == ({} if comes_in else {"denied": 1})

    @pytest.mark.parametrize(
        ("allow", "deny", "host", "comes_in"),
        [
            (("::1",), None, "::1", True),
            (("2001:db8::/32",), None, "::1", False),
            (EVERYBODY, ("::/64",), "::1", False),
            (("127.0.0.1",), None, "127.0.0.1", True),
            (EVERYBODY, ("127.0.0.0/8",), "127.0.0.1", False),
            (EVERYBODY, ("127.0.0.0/8",), "::1", True),
            (EVERYBODY, ("::ffff:127.0.0.0/104",), "127.0.0.1", False),
            (("::1", "127.0.0.0/8"), None, "127.0.0.1", True),
        ],
    )
    def test_of_both_stacks(self, serve: Serve, allow: Any, deny: Any, host: str, comes_in: bool) -> None:
        served = serve(TCPServer, Held, ("::", 0), allow=allow, deny=deny)
        port = served.server.server_address[1]
        with socket.create_connection((host, port), timeout=30) as client:
            assert enter(client) is comes_in

    OURS, NOT_OURS = f"uid:{os.getuid()}", f"uid:{os.getuid() + 1}"
    OUR_GROUP, NOT_OUR_GROUP = f"gid:{os.getgid()}", f"gid:{os.getgid() + 1}"

    @pytest.mark.parametrize(
        ("allow", "deny", "comes_in"),
        [
            ((OURS,), None, True),
            (OURS, None, True),
            ((NOT_OURS,), None, False),
            ((OUR_GROUP,), None, True),
            ((NOT_OUR_GROUP,), None, False),
            ((NOT_OURS, OUR_GROUP), None, True),
            (EVERYBODY, (OURS,), False),
            (EVERYBODY, (OUR_GROUP,), False),
            (EVERYBODY, (NOT_OURS, NOT_OUR_GROUP), True),
            ((OUR_GROUP,), (OURS,), False),
            (("127.0.0.1", OURS), ("10.0.0.0/8",), True),
            (("0.0.0.0/0", "::/0"), None, False),
            (EVERYBODY, ("0.0.0.0/0", "::/0"), True),
        ],
    )
    def test_of_unix_sockets(self, serve: Serve, allow: Any, deny: Any, comes_in: bool) -> None:
        served = serve(ThreadingUnixStreamServer, Held, allow=allow, deny=deny)
        assert enter(served.client) is comes_in

    @pytest.mark.parametrize("lists", [{"allow": (OURS,)}, {"deny": (NOT_OURS,)}])
    def test_owners_keep_everybody_out_where_nobody_knows_the_owner(self, serve: Serve, lists: dict[str, Any]) -> None:
        served = serve(UnixDatagramServer, UpperDatagram, **lists)
        with events_of(RequestRefused) as recorder:
            served.client.send(b"hello")
            assert recorder.wait_for(RequestRefused).reason == "denied"
        served.server.allow = served.server.deny = None
        assert served.exchange(b"hello") == b"HELLO"

    def test_networks_mean_nothing_to_unix_datagrams(self, serve: Serve) -> None:
        assert serve(UnixDatagramServer, UpperDatagram, deny="0.0.0.0/0").exchange(b"hello") == b"HELLO"

    def test_change_while_the_server_runs(self, serve: Serve) -> None:
        served = serve(ThreadingTCPServer, Upper)
        assert served.exchange(b"hello\n") == b"HELLO\n"
        served.server.deny = ["127.0.0.1"]
        assert served.exchange(b"hello\n") == b""
        served.server.deny = {"127.0.0.2"}
        assert served.exchange(b"hello\n") == b"HELLO\n"
        served.server.allow = "127.0.0.2"
        assert served.exchange(b"hello\n") == b""
        served.server.allow = None
        assert served.exchange(b"hello\n") == b"HELLO\n"
        assert served.server.stats().refused == {"denied": 2}

    def test_one_that_cannot_be_read_lets_nobody_in(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        served = serve(ThreadingTCPServer, Upper)
        served.server.allow = ("localhost",)
        with caplog.at_level(logging.ERROR):
            assert served.exchange(b"hello\n") == b""
        assert "must be networks such as" in caplog.text
        served.server.allow = None
        assert served.exchange(b"hello\n") == b"HELLO\n"

    def test_are_asked_before_the_program(self, serve: Serve) -> None:
        class Verifies(ThreadingTCPServer):
            asked = 0

            def verify_request(self, request: Any, client_address: Any) -> bool:
                self.asked += 1
                return False

        served = serve(Verifies, Upper, deny="127.0.0.2")
        with connect_from(served, "127.0.0.2") as client:
            assert client.recv(1) == b""
        assert served.exchange(b"hello\n") == b""
        assert served.server.asked == 1
        assert served.server.stats().refused == {"denied": 1, "verify": 1}


class TestDatagrams:
    """Datagrams that are not let in have no answer: that the next one has shows that nobody is stuck."""

    @pytest.mark.parametrize("server_class", [UDPServer, *SIDE_BY_SIDE_DATAGRAMS, ForkingUDPServer])
    def test_of_denied_hosts_are_dropped(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, UpperDatagram, deny="127.0.0.2")
        with (
            events_of(RequestRefused) as recorder,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied,
        ):
            denied.bind(("127.0.0.2", 0))
            denied.sendto(b"hello", served.address)
            event = recorder.wait_for(RequestRefused)
            assert event == RequestRefused(served.server, denied.getsockname(), "denied")
            assert served.exchange(b"hello") == b"HELLO"
        assert served.server.stats().refused == {"denied": 1}

    @pytest.mark.parametrize("server_class", SIDE_BY_SIDE_DATAGRAMS)
    def test_wait_in_the_kernel_at_the_limit(self, serve: Serve, server_class: Any) -> None:
        gate = Gate()
        served = serve(server_class, gate, max_connections=2)
        with events_of(ListenerSuspended) as recorder:
            for _ in range(5):
                served.client.send(b"hello")
            gate.wait_entered(2)
            assert recorder.wait_for(ListenerSuspended).reason == "limit"
        assert served.server.stats().accepted == served.server.stats().active == 2
        gate.open()
        gate.wait_entered(3)

    @pytest.mark.parametrize("server_class", SIDE_BY_SIDE_DATAGRAMS)
    @pytest.mark.parametrize(
        ("settings", "reason"),
        [({"max_connections": 1, "at_limit": "close"}, "limit"), ({"max_connections_per_host": 1}, "host limit")],
        ids=["all", "per host"],
    )
    def test_are_dropped_at_the_limit(
        self, serve: Serve, server_class: Any, settings: dict[str, Any], reason: str
    ) -> None:
        gate = Gate()
        served = serve(server_class, gate, **settings)
        with events_of(RequestRefused) as recorder:
            served.client.send(b"hello")
            gate.wait_entered()
            served.client.send(b"hello")
            assert recorder.wait_for(RequestRefused).reason == reason
        gate.open()
        wait_for_active(served, 0)
        served.client.send(b"hello")
        gate.wait_entered()
        assert served.server.stats().refused == {reason: 1}

    def test_have_a_rate(self, serve: Serve) -> None:
        served = serve(UDPServer, UpperDatagram, rate_limit="2/hour")
        assert [served.exchange(b"hello") for _ in range(2)] == [b"HELLO"] * 2
        with events_of(RequestRefused) as recorder:
            served.client.send(b"hello")
            assert recorder.wait_for(RequestRefused).reason == "rate"
