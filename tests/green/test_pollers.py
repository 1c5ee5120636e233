"""What the hub in Python asks the kernel by; that hub is used here whichever this process has."""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green.pure import loop, pollers
from doorkeep.green.pure.channel import Channel
from doorkeep.green.pure.loop import Hub
from doorkeep.green.pure.pollers import READ, WRITE, EpollPoller, Poller, SelectorsPoller, Waker, make_poller
from tests.background import Background, eventually

POLLERS: list[Callable[[], Poller]] = [
    EpollPoller,
    lambda: SelectorsPoller(selectors.PollSelector),
    lambda: SelectorsPoller(selectors.SelectSelector),
    SelectorsPoller,
]


@pytest.fixture(params=POLLERS, ids=["epoll", "poll", "select", "default"])
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    """Return a poller of each kind."""
    made: Poller = request.param()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class TestPollers:
    def test_tell_what_has_happened(self, poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        assert poller.poll(0) == []
        poller.watch(ours.fileno(), READ)
        theirs.sendall(b"x")
        ((descriptor, events),) = poller.poll(30)
        assert descriptor == ours.fileno()
        assert events & READ

    def test_say_whether_watching_lasts(self, poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        if poller.watch(ours.fileno(), READ):
            poller.poll(0)
            theirs.sendall(b"x")
            assert [descriptor for descriptor, _ in poller.poll(30)] == [ours.fileno()]
            assert poller.poll(0) == []  # each change once
        else:
            assert poller.poll(0) == []
            poller.watch(ours.fileno(), READ | WRITE)
            assert poller.poll(30) == [(ours.fileno(), WRITE)]
            assert poller.poll(30) == [(ours.fileno(), WRITE)]  # as long as it holds
            poller.watch(ours.fileno(), 0)
            assert poller.poll(0) == []

    def test_forget(self, poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        poller.watch(ours.fileno(), READ)
        poller.forget(ours.fileno())
        poller.forget(ours.fileno())
        poller.forget(12345)
        theirs.sendall(b"x")
        assert poller.poll(0) == []

    def test_watch_again_what_is_watched(self, poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
        ours, theirs = pair
        theirs.sendall(b"x")
        for _ in range(2):
            poller.watch(ours.fileno(), READ)
            ((_, events),) = poller.poll(30)
            assert events & READ

    def test_refuse_what_is_closed(self, poller: Poller) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        selector = getattr(poller, "_selector", None)
        if selector is None or type(selector) is selectors.DefaultSelector:  # the others tell when they are asked
            with pytest.raises(OSError, match="Bad file descriptor"):
                poller.watch(reader, READ)

    def test_wait_no_longer_than_told(self, poller: Poller) -> None:
        assert poller.poll(0.01) == []


def test_the_end_of_a_stream_is_told_of_by_epoll(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    poller = EpollPoller()
    poller.watch(ours.fileno(), READ)
    theirs.shutdown(socket.SHUT_WR)
    ((_, events),) = poller.poll(30)
    assert events & ~(READ | WRITE)
    poller.close()


class TestChoosing:
    def test_epoll_where_it_exists(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOORKEEP_PURE", raising=False)
        chosen = make_poller()
        assert type(chosen) is EpollPoller
        chosen.close()

    def test_selectors_where_it_does_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DOORKEEP_PURE", raising=False)
        monkeypatch.delattr(select, "epoll")
        chosen = make_poller()
        assert type(chosen) is SelectorsPoller
        chosen.close()

    def test_selectors_on_demand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOORKEEP_PURE", "selectors")
        chosen = make_poller()
        assert type(chosen) is SelectorsPoller
        chosen.close()


@pytest.mark.parametrize("has_eventfd", [True, False])
class TestWaker:
    def test_wakes_until_it_is_cleared(self, has_eventfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not has_eventfd:
            monkeypatch.delattr(os, "eventfd")
        waker = Waker()
        assert not select.select([waker.descriptor], [], [], 0)[0]
        waker.wake()
        waker.wake()
        assert select.select([waker.descriptor], [], [], 0)[0]
        waker.clear()
        assert not select.select([waker.descriptor], [], [], 0)[0]
        waker.clear()
        waker.close()

    def test_too_often(self, has_eventfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not has_eventfd:
            monkeypatch.delattr(os, "eventfd")
        waker = Waker()
        for _ in range(10000):
            waker.wake()
        assert select.select([waker.descriptor], [], [], 0)[0]
        waker.close()

    def test_wakes_a_hub(self, has_eventfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not has_eventfd:
            monkeypatch.delattr(os, "eventfd")
        hub = Hub()
        woken: list[bool] = []

        def wake() -> None:
            assert eventually(lambda: hub.waiting)
            hub.call_from_thread(lambda: woken.append(True))
            hub.call_from_thread(hub.attend)

        thread = Background(wake)
        hub.run(lambda: bool(woken))
        thread.result()
        hub.close()


class Alarm(BaseException):
    """What a signal handler raises."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_that_comes_as_the_kernel_tells_costs_nobody_a_wake_up(
    moment: str, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler may raise where the kernel's answer is in nobody's hands, and the kernel tells of a change once."""
    ours, theirs = pair
    ours.setblocking(False)
    armed: list[bool] = []

    class Interrupted(EpollPoller):
        def __init__(self) -> None:
            super().__init__()
            ask: Any = self.poll

            def poll(timeout: float | None = None, most: int = -1) -> list[tuple[int, int]]:
                if armed and moment == "before":
                    armed.clear()
                    raise Alarm
                answer: list[tuple[int, int]] = ask(timeout)
                if armed and answer:
                    armed.clear()
                    raise Alarm
                return answer

            self.poll: Any = poll

    monkeypatch.setattr(loop, "make_poller", Interrupted)
    hub = Hub()
    channel = Channel(hub, ours)
    received: list[bytes] = []

    def receive() -> None:
        received.append(channel.recv(10))
        received.append(channel.recv(10))
        hub.attend()

    def send() -> None:
        theirs.sendall(b"first")
        while not received:
            hub.give_way()
        hub.give_way()
        armed.append(True)
        theirs.sendall(b"second")

    hub.start(receive)
    hub.start(send)
    with pytest.raises(Alarm):
        hub.run(lambda: len(received) == 2)
    hub.run(lambda: len(received) == 2)
    assert received == [b"first", b"second"]
    channel.close()
    hub.close()


def test_the_hub_of_python_says_so() -> None:
    assert loop.NAME == "Python"
    assert pollers.LONGEST_WAIT > 3600


def test_an_idle_worker_that_a_signal_ends_is_idle_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub()
    seen: list[Any] = []

    def raise_once() -> None:
        monkeypatch.undo()
        raise Alarm

    hub.start(lambda: seen.append(getcurrent()))
    hub.start(lambda: monkeypatch.setattr(hub, "_next", raise_once))
    with pytest.raises(Alarm):
        hub.run(lambda: len(seen) == 2)
    assert hub.workers == 0
    assert not hub.busy()
    hub.start(lambda: seen.append(getcurrent()))
    hub.start(hub.attend)
    hub.run(lambda: len(seen) == 2)
    hub.close()
