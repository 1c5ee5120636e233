"""What a server knows of the requests it handles, and that it forgets them with the requests."""

from __future__ import annotations

import gc
import math
import socket
import threading
from typing import Any

import pytest

from doorkeep.connection.registry import Connection, Connections, method_of
from tests.background import Background

CLIENT = ("127.0.0.1", 5)


class Request:
    """Something that can be referred to weakly, as a socket can."""


class Slotted:
    """Something that cannot."""

    __slots__ = ()


@pytest.fixture
def lost() -> list[Connection]:
    return []


@pytest.fixture
def connections(lost: list[Connection]) -> Connections:
    return Connections(lost.append)


REQUESTS = pytest.mark.parametrize(
    "make", [Request, socket.socket, lambda: (object(), None), Slotted], ids=["object", "socket", "datagram", "slots"]
)


def close(request: Any) -> None:
    if isinstance(request, socket.socket):
        request.close()


@REQUESTS
def test_knows_a_request_from_its_beginning_to_its_end(
    connections: Connections, lost: list[Connection], make: Any
) -> None:
    request, other = make(), make()
    connection = connections.add(request, CLIENT, "127.0.0.1")
    assert (connection.client_address, connection.host, connection.due) == (CLIENT, "127.0.0.1", math.inf)
    assert (connection.ready, connection.task) == (None, None)
    assert connections.get(request) is connection
    assert connections.get(other) is None
    assert list(connections) == [connection]
    assert connections.remove(other) is None
    assert connections.remove(request) is connection
    assert connections.remove(request) is None
    assert (connections.get(request), len(connections), lost) == (None, 0, [])
    close(request)
    close(other)


def test_gives_the_request_back(connections: Connections) -> None:
    request = Request()
    assert connections.add(request, CLIENT, None)() is request


def test_tells_of_a_request_that_the_program_has_dropped(connections: Connections, lost: list[Connection]) -> None:
    request = Request()
    connection = connections.add(request, CLIENT, "127.0.0.1")
    del request
    gc.collect()
    assert lost == [connection]
    assert connection() is None
    assert len(connections) == 0


@pytest.mark.parametrize("make", [lambda: (object(), None), Slotted], ids=["datagram", "slots"])
def test_keeps_what_it_cannot_refer_to(connections: Connections, lost: list[Connection], make: Any) -> None:
    """Else another request could get its identity."""
    request = make()
    connections.add(request, CLIENT, None)
    identity = id(request)
    del request
    gc.collect()
    assert lost == []
    (connection,) = connections
    assert connection.key == identity


@REQUESTS
def test_hands_on(connections: Connections, lost: list[Connection], make: Any) -> None:
    """As to the child process that handles a request: the one is known by the other from then on."""
    request, successor = make(), Request()
    before = connections.add(request, CLIENT, "127.0.0.1")
    before.ready = 7.0
    connections.hand_on(request, successor)
    assert connections.get(request) is None
    after = connections.get(successor)
    assert after is not None
    assert (after.started, after.ready, after.host) == (before.started, 7.0, "127.0.0.1")
    close(request)
    del request
    gc.collect()
    assert lost == []
    assert connections.count_of("127.0.0.1") == 1
    assert connections.remove(successor) is after
    assert connections.count_of("127.0.0.1") == 0


def test_hands_on_nothing_that_it_does_not_know(connections: Connections) -> None:
    connections.hand_on(Request(), Request())
    assert len(connections) == 0


class TestHosts:
    def test_are_counted_from_the_first_question_on(self, connections: Connections) -> None:
        requests = [Request() for _ in range(4)]
        for request, host in zip(requests, ["one", "two", "one", None], strict=True):
            connections.add(request, CLIENT, host)
        assert [connections.count_of(host) for host in ("one", "two", "three")] == [2, 1, 0]
        more = Request()
        connections.add(more, CLIENT, "two")
        connections.remove(requests[0])
        assert [connections.count_of(host) for host in ("one", "two")] == [1, 2]

    def test_are_not_counted_any_more_when_dropped(self, connections: Connections) -> None:
        request = Request()
        connections.add(request, CLIENT, "one")
        assert connections.count_of("one") == 1
        del request
        gc.collect()
        assert connections.count_of("one") == 0

    def test_who_was_leaving_at_the_first_question_is_counted_off_once(self, connections: Connections) -> None:
        """Two threads: one has taken a request out, the other asks, and the first goes on."""
        leaving, staying = Request(), Request()
        for request in (leaving, staying):
            connections.add(request, CLIENT, "one")
        gone = connections._live.pop(id(leaving))
        assert connections.count_of("one") == 1
        connections._gone(gone)
        assert connections.count_of("one") == 1

    def test_are_counted_right_whatever_threads_do(self, connections: Connections) -> None:
        def come_and_go() -> None:
            for _ in range(300):
                request = Request()
                connections.add(request, CLIENT, "one")
                connections.count_of("one")
                connections.remove(request)

        for thread in [Background(come_and_go) for _ in range(4)]:
            thread.result(30)
        assert connections.count_of("one") == 0


class TestWaiting:
    def test_ends_when_the_condition_holds(self, connections: Connections) -> None:
        requests = [Request(), Request()]
        for request in requests:
            connections.add(request, CLIENT, None)
        asked = threading.Event()

        def empty() -> bool:
            asked.set()
            return not connections

        waiting = Background(connections.wait, empty, 30)
        assert asked.wait(30)
        for request in requests:
            connections.remove(request)
        assert waiting.result() is True

    def test_ends_when_a_request_is_dropped(self, connections: Connections) -> None:
        request = Request()
        connections.add(request, CLIENT, None)
        asked = threading.Event()

        def empty() -> bool:
            asked.set()
            return not connections

        waiting = Background(connections.wait, empty, 30)
        assert asked.wait(30)
        del request
        gc.collect()
        assert waiting.result() is True

    def test_ends_with_its_time(self, connections: Connections) -> None:
        assert connections.wait(lambda: False, 0.01) is False

    def test_does_not_begin_where_the_condition_holds(self, connections: Connections) -> None:
        assert connections.wait(lambda: True, None) is True


class TestMethodOf:
    def test_looks_the_method_up_at_the_call(self) -> None:
        class Owner:
            def tell(self, word: str) -> None:
                said.append(word)

        said: list[str] = []
        owner: Any = Owner()
        call = method_of(owner, "tell")
        call("one")
        owner.tell = lambda word: said.append(word.upper())
        call("two")
        assert said == ["one", "TWO"]

    def test_does_nothing_when_the_owner_has_gone(self) -> None:
        request = Request()
        call = method_of(request, "no_such_method")
        del request
        gc.collect()
        call()  # of an owner it would raise AttributeError
