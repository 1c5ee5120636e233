"""`events_of`: what it records, and how a test waits for it."""

from __future__ import annotations

import threading

import pytest

from doorkeep import TCPServer
from doorkeep.events import Event, ServerDrained, ServerStarted, ServerStopped
from doorkeep.testing import events_of, serving
from tests.sample_handlers import Upper

SERVER = TCPServer(("", 0), Upper, bind_and_activate=False)
SERVER.server_close()


def test_records_in_order_and_only_the_kinds_asked_for() -> None:
    with events_of(ServerStopped, ServerStarted) as events:
        ServerStarted(SERVER).emit()
        ServerDrained(SERVER, 0).emit()
        ServerStopped(SERVER).emit()
    assert events == [ServerStarted(SERVER), ServerStopped(SERVER)]


def test_records_every_kind_when_none_is_named() -> None:
    with events_of() as events:
        ServerDrained(SERVER, 3).emit()
    assert events == [ServerDrained(SERVER, 3)]


def test_records_no_more_after_the_block() -> None:
    with events_of(ServerStarted) as events:
        pass
    ServerStarted(SERVER).emit()
    assert events == []
    assert ServerStarted.listeners == ()


def test_of_picks_a_kind() -> None:
    with events_of() as events:
        ServerStarted(SERVER).emit()
        ServerDrained(SERVER, 1).emit()
        ServerDrained(SERVER, 2).emit()
    assert [event.closed for event in events.of(ServerDrained)] == [1, 2]


def test_waits_for_what_has_happened_already() -> None:
    with events_of() as events:
        ServerDrained(SERVER, 1).emit()
        ServerDrained(SERVER, 2).emit()
        assert events.wait_for(ServerDrained).closed == 1
        assert events.wait_for(ServerDrained, count=2).closed == 2


def test_waits_for_what_another_thread_does() -> None:
    waiting = threading.Event()

    def act() -> None:
        waiting.wait(30)
        ServerStarted(SERVER).emit()
        ServerDrained(SERVER, 1).emit()

    thread = threading.Thread(target=act)
    with events_of() as events:
        thread.start()
        waiting.set()
        assert events.wait_for(ServerDrained) == ServerDrained(SERVER, 1)
        thread.join()


def test_says_what_came_when_it_has_waited_in_vain() -> None:
    with events_of() as events:
        ServerStarted(SERVER).emit()
        with pytest.raises(TimeoutError, match=r"no ServerDrained within 0\.01 seconds, only \[ServerStarted"):
            events.wait_for(ServerDrained, timeout=0.01)
        with pytest.raises(TimeoutError):
            events.wait_for(ServerStarted, timeout=0, count=2)


def test_records_a_real_server() -> None:
    with events_of(ServerStarted, ServerStopped) as events:
        with serving(TCPServer, Upper) as service:
            event: Event = events.wait_for(ServerStarted)
            assert event.server is service.server
        events.wait_for(ServerStopped)
    assert [type(event) for event in events] == [ServerStarted, ServerStopped]
