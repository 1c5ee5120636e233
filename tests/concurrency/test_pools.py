"""A bounded number of threads: what is beyond waits in the kernel's backlog."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from doorkeep import BaseServer, ThreadPoolTCPServer, ThreadPoolUDPServer, ThreadPoolUnixStreamServer
from doorkeep.concurrency.threads import Crew
from doorkeep.events import ListenerResumed, ListenerSuspended
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Client
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Gate, Held, Upper, UpperDatagram


def crew_of(server: ThreadPoolTCPServer) -> Crew:
    """Return the threads of a server that has served."""
    assert server._crew is not None
    return server._crew


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is open at the end, whatever happens."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.mark.parametrize("server_class", [ThreadPoolTCPServer, ThreadPoolUnixStreamServer])
def test_serves(serve: Serve, server_class: type[BaseServer]) -> None:
    service = serve(server_class, Upper, pool_size=2)
    for _ in range(20):
        assert service.exchange(b"hello\n") == b"HELLO\n"


def test_serves_datagrams(serve: Serve) -> None:
    service = serve(ThreadPoolUDPServer, UpperDatagram, pool_size=2)
    for _ in range(20):
        assert service.exchange(b"hello") == b"HELLO"


def test_no_more_clients_are_accepted_than_there_are_threads(serve: Serve) -> None:
    with events_of(ListenerSuspended, ListenerResumed) as events:
        service = serve(ThreadPoolTCPServer, Held, pool_size=2)
        first, second, third, fourth = (service.connect() for _ in range(4))
        assert first.recv(3) == second.recv(3) == b"in\n"
        assert events.wait_for(ListenerSuspended).reason == "limit"
        assert service.server.stats().accepted == 2
        first.close()
        assert third.recv(3) == b"in\n"
        second.close()
        assert fourth.recv(3) == b"in\n"


def test_the_threads_are_no_more_than_the_pool(serve: Serve, gate: Gate) -> None:
    before = threading.active_count()
    service = serve(ThreadPoolTCPServer, gate, pool_size=3)
    for _ in range(10):
        service.connect()
    gate.wait_entered(3)
    assert threading.active_count() == before + 1 + 3
    gate.open()
    gate.wait_entered(7)
    assert service.server.stats().accepted == 10


def test_more_clients_than_threads_are_all_served(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Upper, pool_size=4)
    exchanges = [Background(service.exchange, b"client %d\n" % number) for number in range(64)]
    assert [exchange.result() for exchange in exchanges] == [b"CLIENT %d\n" % number for number in range(64)]


def test_threads_start_as_they_are_needed(serve: Serve) -> None:
    before = threading.active_count()
    service = serve(ThreadPoolTCPServer, Held, pool_size=100)
    assert service.connect().recv(3) == service.connect().recv(3) == b"in\n"
    assert threading.active_count() == before + 1 + 2


def test_idle_threads_end_after_their_time(serve: Serve) -> None:
    before = threading.active_count()
    service = serve(ThreadPoolTCPServer, Upper, pool_size=4, thread_linger=0.01)
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert eventually(lambda: threading.active_count() == before + 1)
    assert service.exchange(b"hello\n") == b"HELLO\n"


def test_a_thread_that_does_not_linger_makes_room_all_the_same(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Upper, pool_size=1, thread_linger=0)
    for _ in range(50):
        assert service.exchange(b"hello\n") == b"HELLO\n"


def test_a_larger_pool_lets_the_waiting_in(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Held, pool_size=1)
    with events_of(ListenerSuspended) as events:
        first, second = service.connect(), service.connect()
        assert first.recv(3) == b"in\n"
        events.wait_for(ListenerSuspended)
    service.server.pool_size = 2
    service.server._wake()
    assert second.recv(3) == b"in\n"


@pytest.mark.parametrize("method", ["handle_request", "_handle_request_noblock"])
def test_a_foreign_loop_waits_for_a_thread(gate: Gate, method: str) -> None:
    with (
        ThreadPoolTCPServer(("127.0.0.1", 0), gate, pool_size=1) as server,
        connected_to(server),
        connected_to(server),
    ):
        server.handle_request()
        gate.wait_entered()
        second = Background(getattr(server, method))
        with pytest.raises(TimeoutError):
            second.result(0.05)
        gate.open()
        second.result()
        gate.wait_entered()


def test_the_smaller_of_two_limits_counts(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Held, pool_size=10, max_connections=1, at_limit="close")
    assert service.client.recv(3) == b"in\n"
    assert service.connect().recv(3) == b""


def test_a_pool_that_is_full_makes_clients_wait_though_at_limit_says_close(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Held, pool_size=1, max_connections=10, at_limit="close")
    first, second = service.connect(), service.connect()
    assert first.recv(3) == b"in\n"
    first.close()
    assert second.recv(3) == b"in\n"
    assert service.server.stats().refused == {}


def test_server_close_waits_for_requests(gate: Gate) -> None:
    server = ThreadPoolTCPServer(("127.0.0.1", 0), gate)
    with connected_to(server):
        server.handle_request()
        gate.wait_entered()
        closing = Background(server.server_close)
        with pytest.raises(TimeoutError):
            closing.result(0.05)
        gate.open()
        closing.result()


class Seldom(ThreadPoolTCPServer):
    """Turns its loop seldom, so that a wake-up that is lost is a client that waits in vain."""

    def serve_forever(self, poll_interval: float = 60) -> None:
        super().serve_forever(60)


@pytest.mark.parametrize("thread_linger", [0, 0.0005, 60])
def test_never_more_handlers_at_once_than_the_pool(serve: Serve, thread_linger: float) -> None:
    counting = threading.Lock()
    meeting = threading.Barrier(3, timeout=30)
    entered = inside = most = 0
    threads = set()

    class Counted(Held):
        def handle(self) -> None:
            nonlocal entered, inside, most
            with counting:
                entered += 1
                inside += 1
                most = max(most, inside)
                threads.add(threading.current_thread().name)
                is_early = entered <= 3
            if is_early:
                meeting.wait()  # there are as many as there may be, at least once
            super().handle()
            with counting:
                inside -= 1

    service = serve(Seldom, Counted, pool_size=3, thread_linger=thread_linger)

    def converse() -> list[bytes]:
        return [service.exchange(b"hello\n") for _ in range(20)]

    for client in [Background(converse) for _ in range(8)]:
        assert client.result() == [b"in\nout\n"] * 20
    assert most == 3
    assert thread_linger < 60 or len(threads) == 3


@pytest.mark.parametrize("thread_linger", [0, 1.0])
def test_the_last_thread_serves_on_while_all_others_are_blocked(serve: Serve, thread_linger: float) -> None:
    service = serve(Seldom, Upper, pool_size=4, thread_linger=thread_linger)
    blocked = [service.connect() for _ in range(3)]
    for client in blocked:
        client.sendall(b"stay\n")
        assert client.recv(100) == b"STAY\n"

    def converse() -> list[bytes]:
        return [service.exchange(b"hello\n") for _ in range(125)]

    for clients in [Background(converse) for _ in range(4)]:
        assert clients.result(30) == [b"HELLO\n"] * 125
    for client in blocked:
        client.sendall(b"still here\n")
        assert client.recv(100) == b"STILL HERE\n"


def test_a_smaller_pool_lets_nobody_in_until_enough_have_left(serve: Serve) -> None:
    """Threads beyond the new size take no more requests, though they are still there."""
    service = serve(ThreadPoolTCPServer, Held, pool_size=3, thread_linger=60)
    first, second, third = (service.connect() for _ in range(3))
    assert first.recv(3) == second.recv(3) == third.recv(3) == b"in\n"
    service.server.pool_size = 1
    waiting = service.connect()

    def idle(count: int) -> bool:
        return eventually(lambda: crew_of(service.server).spare == count)

    for client, idle_then in ((first, 1), (second, 2)):
        client.close()
        assert idle(idle_then)
        assert service.server._reason_to_pause()[0] == "limit"
    assert service.server.stats().accepted == 3
    third.close()
    assert waiting.recv(3) == b"in\n"


def test_a_limit_below_the_pool_lets_clients_in_as_soon_as_one_leaves() -> None:
    """Threads that are idle all along do not keep it from hearing of the one that it waits for."""
    with ThreadPoolTCPServer(("127.0.0.1", 0), Held, pool_size=16, thread_linger=60) as server, ExitStack() as stack:

        def enter(*, at_once: bool) -> tuple[Client, Background[None]]:
            client = stack.enter_context(connected_to(server))
            taking = Background(server._handle_request_noblock)
            if at_once:
                taking.result()
                assert client.recv(3) == b"in\n"
            return client, taking

        clients = [enter(at_once=True)[0] for _ in range(4)]
        for client in (clients.pop(), clients.pop()):
            client.close()
        assert eventually(lambda: crew_of(server).spare == 2)
        server.max_connections = 2
        for _ in range(5):
            client, taking = enter(at_once=False)
            with pytest.raises(TimeoutError):
                taking.result(0.05)
            clients.pop(0).close()
            taking.result()
            assert client.recv(3) == b"in\n"
            clients.append(client)


def test_a_full_server_may_be_suspended(serve: Serve) -> None:
    service = serve(ThreadPoolTCPServer, Held, pool_size=1)
    with events_of(ListenerSuspended) as events:
        first, second = service.connect(), service.connect()
        assert first.recv(3) == b"in\n"
        assert events.wait_for(ListenerSuspended).reason == "limit"
        service.server.suspend()
        assert events.wait_for(ListenerSuspended, count=2).reason == "suspended"
    first.close()
    assert eventually(lambda: service.server.stats().active == 0)
    service.server.resume()
    assert second.recv(3) == b"in\n"
    assert service.server.stats().accepted == 2
