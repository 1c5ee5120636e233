"""Waiting for the next request: what ends the wait, and when the listener is not looked at."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep.connection.watch import ListenerWatch
from doorkeep.events import ListenerResumed, ListenerSuspended
from doorkeep.testing import events_of
from tests.background import Background


class Listening:
    """What the watch asks of a server."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.pause: tuple[str | None, float | None] = (None, None)

    def fileno(self) -> int:
        return self.socket.fileno()

    def _reason_to_pause(self) -> tuple[str | None, float | None]:
        return self.pause

    def connect(self) -> socket.socket:
        return socket.create_connection(self.socket.getsockname(), timeout=30)


@pytest.fixture
def server() -> Iterator[Any]:
    server = Listening()
    yield server
    server.socket.close()


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.PollSelector() as selector:
        yield selector


@pytest.fixture
def watch(server: Any, selector: selectors.BaseSelector) -> Iterator[ListenerWatch]:
    watch = ListenerWatch(server, selector)
    yield watch
    watch.close()


def test_sees_a_client(server: Any, watch: ListenerWatch) -> None:
    assert watch.wait(0) is False
    with server.connect():
        assert watch.wait(30) is True
        assert watch.wait(0) is True


@pytest.mark.parametrize("may_be_woken", [True, False])
def test_leaves_the_selector_as_it_was(server: Any, selector: selectors.BaseSelector, may_be_woken: bool) -> None:
    watch = ListenerWatch(server, selector, may_be_woken)
    watch.wait(0)
    assert len(selector.get_map()) == 1 + may_be_woken
    watch.wake()
    watch.close()
    assert len(selector.get_map()) == 0
    watch.wake()


def test_is_woken_by_another_thread(watch: ListenerWatch) -> None:
    """Also if that was first; once for each wait."""
    watch.wake()
    watch.wake()
    assert Background(watch.wait, None).result() is False
    waiting = Background(watch.wait, None)
    watch.wake()
    assert waiting.result() is False


def test_is_ended_by_another_descriptor(watch: ListenerWatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watch.add(ours.fileno())
        theirs.send(b"x")
        assert watch.wait(None) is False
        watch.remove(ours.fileno())
        watch.remove(ours.fileno())
        assert watch.wait(0) is False


class TestPause:
    @pytest.mark.parametrize("reason", ["suspended", "limit", "resources", "error"])
    def test_does_not_look_at_the_listener(self, server: Any, watch: ListenerWatch, reason: str) -> None:
        with server.connect():
            assert watch.wait(30) is True
            server.pause = (reason, None)
            assert watch.wait(0) is False
            assert watch.waits_for_room is (reason == "limit")
            server.pause = (None, None)
            assert watch.wait(30) is True
            assert watch.waits_for_room is False

    def test_ends_after_its_time(self, server: Any, watch: ListenerWatch) -> None:
        server.pause = ("resources", 0.01)
        assert watch.wait(None) is False

    def test_is_told_at_its_beginning_and_end(self, server: Any, watch: ListenerWatch) -> None:
        with events_of(ListenerSuspended, ListenerResumed) as recorder:
            for reason in (None, None, "limit", "limit", "suspended", None, None):
                server.pause = (reason, None)
                watch.wait(0)
        assert list(recorder) == [
            ListenerSuspended(server, "limit"),
            ListenerSuspended(server, "suspended"),
            ListenerResumed(server),
        ]


class TestAnotherListener:
    def test_is_followed(self, server: Any, watch: ListenerWatch) -> None:
        assert watch.wait(0) is False
        old, server.socket = server.socket, socket.create_server(("127.0.0.1", 0))
        with old, server.connect():
            assert watch.wait(30) is True

    def test_that_is_closed_ends_the_watch(
        self, server: Any, watch: ListenerWatch, selector: selectors.BaseSelector
    ) -> None:
        watch.wait(0)
        server.socket.close()
        assert watch.wait(None) is False
        assert watch.closed
        assert len(selector.get_map()) == 1

    def test_is_none_to_take_a_request_from_where_the_old_one_had_it(
        self, server: Any, watch: ListenerWatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The program replaces it while the watch waits."""
        watch.wait(0)
        select = watch._selector.select

        def replace(timeout: float | None) -> Any:
            ready = select(timeout)
            server.old, server.socket = server.socket, socket.create_server(("127.0.0.1", 0))
            return ready

        with server.connect():
            monkeypatch.setattr(watch._selector, "select", replace)
            assert watch.wait(30) is False
        server.old.close()
