"""A selector that lets other greenlets run while it waits."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.selector import GreenSelector
from tests.background import Background, eventually
from tests.green.hubs import let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@contextmanager
def selector_and_pair() -> Iterator[tuple[GreenSelector, socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs, GreenSelector(the_hub(), selectors.DefaultSelector()) as selector:
        yield selector, ours, theirs


def wait(selector: GreenSelector, timeout: float = 30) -> list[tuple[Any, int]]:
    """Return what is ready, though the selector may return early with nothing."""
    until = time.monotonic() + timeout
    while not (ready := selector.select(until - time.monotonic())) and time.monotonic() < until:
        pass
    return [(key.fileobj, events) for key, events in ready]


class TestSelecting:
    def test_lets_others_run(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)
                task = spawn(wait, selector)
                let_others_run(2)
                assert not task.done()
                theirs.sendall(b"x")
                assert task.result(30) == [(ours, READ)]

        run(main)

    def test_for_nothing_ends_in_time(self) -> None:
        def main() -> None:
            with GreenSelector(the_hub(), selectors.DefaultSelector()) as selector:
                assert spawn(selector.select, 0.01).result(30) == []

        run(main)

    def test_what_is_ready_is_told_until_it_is_so_no_more(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)
                for _ in range(3):
                    theirs.sendall(b"x")
                    assert wait(selector) == [(ours, READ)]
                    assert wait(selector) == [(ours, READ)]
                    assert ours.recv(10) == b"x"
                    assert wait(selector, 0) == []

        run(main)

    def test_what_is_ready_is_told_at_once(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ | WRITE, "data")
                switches = the_hub().switches
                ((key, events),) = selector.select()
                assert (key.fileobj, key.data, events) == (ours, "data", WRITE)
                theirs.sendall(b"x")
                assert wait(selector) == [(ours, READ | WRITE)]
                assert the_hub().switches == switches

        run(main)

    def test_waits_for_room_too(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                ours.setblocking(False)
                size = 0
                with pytest.raises(BlockingIOError):
                    while True:
                        size += ours.send(bytes(1 << 16))
                selector.register(ours, WRITE)
                task = spawn(wait, selector)
                let_others_run(2)
                assert not task.done()
                theirs.setblocking(False)
                while size:
                    size -= len(theirs.recv(1 << 20))
                assert task.result(30) == [(ours, WRITE)]

        run(main)

    def test_several(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                reader, writer = os.pipe()
                selector.register(ours, READ)
                selector.register(reader, READ)
                task = spawn(wait, selector)
                let_others_run()
                os.write(writer, b"x")
                assert task.result(30) == [(reader, READ)]
                theirs.sendall(b"x")
                assert sorted(wait(selector), key=str) == sorted([(reader, READ), (ours, READ)], key=str)
                selector.unregister(reader)
                os.close(reader)
                os.close(writer)
                assert wait(selector) == [(ours, READ)]

        run(main)

    def test_another_thread_makes_it_ready(self) -> None:
        def main() -> None:
            hub = the_hub()
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)

                def send() -> None:
                    assert eventually(lambda: hub.waiting)
                    theirs.sendall(b"x")

                thread = Background(send)
                assert wait(selector) == [(ours, READ)]
                thread.result()

        run(main)


class TestTime:
    def test_it_is_up(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, _):
                selector.register(ours, READ)
                for timeout in (0.03, 0.01, 0.02):
                    begun = time.monotonic()
                    assert wait(selector, timeout) == []
                    assert time.monotonic() >= begun + timeout

        run(main)

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_there_is_none(self, timeout: float) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)
                switches = the_hub().switches
                assert selector.select(timeout) == []
                theirs.sendall(b"x")
                assert len(selector.select(timeout)) == 1
                assert the_hub().switches == switches

        run(main)

    def test_there_is_no_limit(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)
                the_hub().call_at(time.monotonic() + 0.03, lambda: theirs.sendall(b"x"))
                while not (ready := selector.select()):
                    pass
                assert len(ready) == 1

        run(main)

    def test_many_waits_leave_one_timer(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(ours, READ)
                calls = 0
                original = the_hub().call_at

                class Counted:
                    def __getattr__(self, name: str) -> Any:
                        return counted if name == "call_at" else getattr(hub, name)

                def counted(*arguments: Any) -> Any:
                    nonlocal calls
                    calls += 1
                    return original(*arguments)

                hub = the_hub()
                selector._hub = Counted()  # type: ignore[assignment]  # a stand-in
                for _ in range(20):
                    task = spawn(selector.select, 60)
                    let_others_run()
                    theirs.sendall(b"x")
                    task.result(30)
                    ours.recv(10)
                assert calls == 1

        run(main)


class TestRegistering:
    def test_as_other_selectors(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, _):
                key = selector.register(ours, READ, "data")
                assert selector.get_map()[ours] == key
                with pytest.raises(KeyError):
                    selector.register(ours, READ)
                assert selector.unregister(ours) == key
                with pytest.raises(KeyError):
                    selector.unregister(ours)
                assert len(selector.get_map()) == 0

        run(main)

    def test_again(self) -> None:
        def main() -> None:
            with selector_and_pair() as (selector, ours, theirs):
                selector.register(theirs, READ)
                for _ in range(3):
                    selector.register(ours, READ)
                    task = spawn(wait, selector)
                    let_others_run()
                    theirs.sendall(b"x")
                    assert task.result(30) == [(ours, READ)]
                    ours.recv(1)
                    selector.unregister(ours)
                    theirs.sendall(b"y")
                    assert wait(selector, 0.01) == []
                    ours.recv(1)

        run(main)

    def test_two_selectors_share_a_hub(self) -> None:
        def main() -> None:
            with selector_and_pair() as (first, ours, theirs), selector_and_pair() as (second, other, another):
                first.register(ours, READ)
                second.register(other, READ)
                tasks = [spawn(wait, first), spawn(wait, second)]
                let_others_run()
                another.sendall(b"x")
                assert tasks[1].result(30) == [(other, READ)]
                assert not tasks[0].done()
                theirs.sendall(b"x")
                assert tasks[0].result(30) == [(ours, READ)]

        run(main)
