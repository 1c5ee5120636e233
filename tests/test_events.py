"""Events: who hears of what, in which order, and that nothing is made where nobody listens."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, StreamRequestHandler, ThreadingTCPServer, ThreadingUDPServer, events
from doorkeep.events import (
    ConnectionReady,
    ConnectionStarted,
    ConnectionStopped,
    DatagramTruncated,
    Event,
    ListenerResumed,
    RequestFailed,
    RequestRefused,
    ServerDrained,
    ServerStarted,
    ServerStopped,
    subscribe,
)
from doorkeep.testing import events_of, serving
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import Upper, UpperDatagram

KINDS = Event.__subclasses__()
SERVER: Any = object()


@pytest.fixture(autouse=True)
def nobody_listens_afterwards() -> Iterator[None]:
    yield
    assert [kind for kind in KINDS if kind.listeners] == []


def test_a_listener_is_called_with_its_kinds_only() -> None:
    heard: list[Event] = []
    unsubscribe = subscribe(heard.append, ServerStarted, ServerStopped)
    for kind in (ServerStarted, ListenerResumed, ServerStopped):
        kind(SERVER).emit()
    unsubscribe()
    assert heard == [ServerStarted(SERVER), ServerStopped(SERVER)]


@pytest.mark.parametrize("kinds", [(), (Event,), (Event, ServerStarted)])
def test_a_listener_may_hear_all_kinds(kinds: tuple[type[Event], ...]) -> None:
    unsubscribe = subscribe(print, *kinds)
    try:
        assert [list(kind.listeners) for kind in KINDS] == [[print]] * len(KINDS)
    finally:
        unsubscribe()


def test_a_kind_named_twice_is_heard_once() -> None:
    unsubscribe = subscribe(print, ServerStarted, ServerStarted)
    assert ServerStarted.listeners == (print,)
    unsubscribe()


def test_nothing_is_heard_after_unsubscribing() -> None:
    heard: list[Event] = []
    subscribe(heard.append, ServerStarted)()
    ServerStarted(SERVER).emit()
    assert heard == []


def test_each_subscription_ends_alone() -> None:
    """Another subscription of the same listener goes on, also when the first is ended twice."""
    first = subscribe(print, ServerStarted)
    second = subscribe(print, ServerStarted)
    assert list(ServerStarted.listeners) == [print, print]
    first()
    first()
    assert list(ServerStarted.listeners) == [print]
    second()


def test_bound_methods_unsubscribe_too() -> None:
    heard: list[Event] = []
    unsubscribe = subscribe(heard.append, ServerStarted)
    other: list[Event] = []
    unsubscribe_other = subscribe(other.append, ServerStarted)
    unsubscribe_other()
    ServerStarted(SERVER).emit()
    unsubscribe()
    assert (len(heard), len(other)) == (1, 0)


def test_listeners_are_called_in_the_order_of_subscription() -> None:
    order: list[str] = []
    endings = [
        subscribe(lambda _: order.append("first"), ServerStarted),
        subscribe(lambda _: order.append("second"), ServerStarted),
    ]
    ServerStarted(SERVER).emit()
    for end in endings:
        end()
    assert order == ["first", "second"]


def test_a_listener_that_raises_is_reported_and_stays(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise LookupError("no such thing")

    heard: list[Event] = []
    endings = [subscribe(fail, ServerStarted), subscribe(heard.append, ServerStarted)]
    with caplog.at_level(logging.ERROR, "doorkeep.events"):
        ServerStarted(SERVER).emit()
        ServerStarted(SERVER).emit()
    for end in endings:
        end()
    assert len(heard) == 2
    assert [record.getMessage() for record in caplog.records] == ["a listener of ServerStarted failed"] * 2
    assert "no such thing" in caplog.text


def test_a_listener_may_unsubscribe_while_it_is_called() -> None:
    heard: list[Event] = []

    def once(event: Event) -> None:
        heard.append(event)
        unsubscribe()

    unsubscribe = subscribe(once, ServerStarted)
    ServerStarted(SERVER).emit()
    ServerStarted(SERVER).emit()
    assert len(heard) == 1


def test_threads_may_subscribe_at_once() -> None:
    def come_and_go() -> None:
        for _ in range(200):
            subscribe(print, ServerStarted)()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    stay = [subscribe(print, ServerStarted) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ServerStarted.listeners) == 3
    for end in stay:
        end()


def test_events_cannot_be_changed() -> None:
    event = RequestRefused(SERVER, ("127.0.0.1", 1), "denied")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.reason = "verify"  # type: ignore[misc]  # what the test is about


def test_all_kinds_are_exported() -> None:
    assert {kind.__name__ for kind in KINDS} | {"Event", "subscribe"} == set(events.__all__)


def test_a_conversation_in_events() -> None:
    with events_of() as recorder:
        with serving(ThreadingTCPServer, Upper) as served:
            assert served.exchange(b"hello\n") == b"HELLO\n"
            stopped = recorder.wait_for(ConnectionStopped)
        recorder.wait_for(ServerStopped)
    kinds = [type(event) for event in recorder]
    expected = [ServerStarted, ConnectionStarted, ConnectionReady, ConnectionStopped]
    assert kinds[: len(expected)] == expected
    assert sorted(kind.__name__ for kind in kinds[len(expected) :]) == ["ServerDrained", "ServerStopped"]
    assert {event.server for event in recorder} == {served.server}
    started, ready = recorder.wait_for(ConnectionStarted), recorder.wait_for(ConnectionReady)
    assert started.client_address == ready.client_address == stopped.client_address
    assert 0 <= ready.seconds <= stopped.seconds
    assert recorder.wait_for(ServerDrained).closed == 0


def test_a_failure_is_told_between_begin_and_end(serve: Serve) -> None:
    class Failing(StreamRequestHandler):
        def handle(self) -> None:
            raise LookupError("no such thing")

    class Quiet(ThreadingTCPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    served = serve(Quiet, Failing)
    with events_of(ConnectionReady, RequestFailed, ConnectionStopped) as recorder:
        assert served.exchange(b"") == b""
        recorder.wait_for(ConnectionStopped)
    assert [type(event) for event in recorder] == [ConnectionReady, RequestFailed, ConnectionStopped]
    assert isinstance(recorder.wait_for(RequestFailed).error, LookupError)
    assert served.server.stats().failed == 1


def test_a_peer_that_hangs_up_is_no_failure(serve: Serve) -> None:
    class HungUp(BaseRequestHandler):
        def handle(self) -> None:
            raise ConnectionResetError("gone")

    served = serve(ThreadingTCPServer, HungUp)
    with events_of(RequestFailed, ConnectionStopped) as recorder:
        assert served.exchange(b"") == b""
        recorder.wait_for(ConnectionStopped)
    assert [type(event) for event in recorder] == [ConnectionStopped]
    assert served.server.stats().failed == 0


def test_who_is_refused_has_no_other_event(serve: Serve) -> None:
    served = serve(ThreadingTCPServer, Upper, deny="127.0.0.1")
    with events_of(RequestRefused, ConnectionStarted, ConnectionReady, ConnectionStopped) as recorder:
        client = served.connect()
        assert client.recv(1) == b""
        recorder.wait_for(RequestRefused)
    assert list(recorder) == [RequestRefused(served.server, client.getsockname(), "denied")]


def test_datagrams_are_no_connections(serve: Serve) -> None:
    served = serve(ThreadingUDPServer, UpperDatagram, max_packet_size=4)
    with events_of(ConnectionStarted, ConnectionReady, ConnectionStopped, DatagramTruncated) as recorder:
        assert served.exchange(b"datagram") == b"DATA"
        served.server.drain(30)
    (truncated,) = recorder
    assert isinstance(truncated, DatagramTruncated)
    assert truncated.size == 4


def test_no_event_is_made_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for kind in KINDS:
        monkeypatch.setattr(kind, "__init__", lambda self, *_: made.append(type(self).__name__))
    with serving(ThreadingTCPServer, Upper, max_connections_per_host=1) as served:
        held = served.connect()
        held.sendall(b"in\n")
        assert held.recv(3) == b"IN\n"
        assert served.exchange(b"refused\n") == b""
    with serving(ThreadingUDPServer, UpperDatagram, max_packet_size=4) as served_datagrams:
        assert served_datagrams.exchange(b"datagram") == b"DATA"
    assert made == []
