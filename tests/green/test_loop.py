"""The hub: running greenlets, and waking them."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.core import Hub
from doorkeep.green.hub import current_hub, hub_of_thread
from doorkeep.green.sockets import green
from tests.background import Background, eventually
from tests.connection.pairs import tcp_pair
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub
from tests.green.places import compute_until

pytestmark = pytest.mark.usefixtures("poller")

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


class Oops(Exception):
    """Something that goes wrong."""


class Alarm(BaseException):
    """What a signal handler raises."""


def fail() -> None:
    raise Oops("no")


class TestRun:
    def test_returns_what_the_function_returns(self) -> None:
        def add(*numbers: int) -> int:
            let_others_run()
            return sum(numbers)

        assert run(add, 1, 2, 3) == 6

    def test_raises_what_the_function_raises(self) -> None:
        with pytest.raises(Oops, match="no"):
            run(fail)
        assert hub_of_thread() is None

    def test_within_another_it_just_calls(self) -> None:
        assert run(lambda: run(getcurrent) is getcurrent())

    def test_each_thread_has_a_hub_of_its_own(self) -> None:
        def main() -> None:
            assert Background(current_hub).result() is None
            assert Background(run, the_hub).result() is not the_hub()

        run(main)

    def test_there_is_no_hub_outside(self) -> None:
        hub = run(the_hub)
        assert current_hub() is None
        assert hub_of_thread() is None
        assert not hub.parks()

    def test_a_thread_may_not_park_in_the_hub_of_another(self) -> None:
        def main() -> None:
            assert the_hub().parks()
            assert Background(the_hub().parks).result() is False

        run(main)

    def test_it_keeps_no_descriptors(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                client.sendall(b"x")
                assert connection.recv(9) == b"x"

        before = os.listdir("/proc/self/fd")
        for _ in range(20):
            run(main)
        assert os.listdir("/proc/self/fd") == before

    def test_greenlets_that_are_left_go_on_when_it_runs_again(self) -> None:
        steps: list[str] = []

        def job() -> None:
            steps.append("in")
            park_until(lambda: len(steps) > 1)
            steps.append("out")

        def begin() -> tuple[Hub, Any]:
            task = spawn(job)
            let_others_run()
            return the_hub(), task

        def end(task: Any) -> Hub:
            let_others_run()
            steps.append("again")
            for greenlet in parked:
                the_hub().wake(greenlet)
            task.result(30)
            return the_hub()

        parked: list[Any] = []
        original = job

        def noted() -> None:
            parked.append(getcurrent())
            original()

        job = noted
        hub, task = run(begin)
        assert hub_of_thread() is hub
        assert current_hub() is None
        assert steps == ["in"]
        assert run(end, task) is hub
        assert steps == ["in", "again", "out"]
        assert hub_of_thread() is None


class TestJobs:
    def test_they_begin_in_order(self) -> None:
        def main() -> list[int]:
            order: list[int] = []
            for number in range(200):
                the_hub().start(order.append, number)
            let_others_run()
            return order

        assert run(main) == list(range(200))

    def test_those_that_can_go_on_take_turns(self) -> None:
        def main() -> list[str]:
            order: list[str] = []

            def job(letter: str) -> None:
                for _ in range(3):
                    order.append(letter)
                    let_others_run()

            for letter in "abc":
                the_hub().start(job, letter)
            let_others_run(5)
            return order

        assert run(main) == list("abcabcabc")

    def test_a_greenlet_does_many(self) -> None:
        def main() -> set[Any]:
            greenlets: set[Any] = set()
            for _ in range(100):
                the_hub().start(lambda: greenlets.add(getcurrent()))
                let_others_run()
            return greenlets

        assert len(run(main)) == 1

    def test_not_all_greenlets_are_kept(self) -> None:
        def main() -> None:
            finished: list[None] = []
            waiting: list[Any] = []

            def job() -> None:
                waiting.append(getcurrent())
                the_hub().park()
                finished.append(None)

            for _ in range(300):
                the_hub().start(job)
            let_others_run()
            assert the_hub().workers == 301
            for greenlet in waiting:
                the_hub().wake(greenlet)
            let_others_run(2)
            assert len(finished) == 300
            assert the_hub().workers <= 70
            assert the_hub().busy()

        run(main)

    def test_each_has_a_context_of_its_own(self) -> None:
        def main() -> list[str]:
            seen: list[str] = []

            def job(new: str) -> None:
                seen.append(name.get())
                name.set(new)
                let_others_run()
                seen.append(name.get())

            the_hub().start(job, "ann")
            the_hub().start(job, "bob")
            let_others_run(2)
            the_hub().start(job, "eve")
            let_others_run(2)
            return seen

        assert run(main) == ["nobody", "nobody", "ann", "bob", "nobody", "eve"]

    def test_what_they_are_given_is_let_go_when_they_end(self) -> None:
        class Thing:
            def call(self) -> None:
                things.append(sys.getrefcount(self))

        def main() -> int:
            thing = Thing()
            before = sys.getrefcount(thing)
            the_hub().start(Thing.call, thing)
            let_others_run()
            return sys.getrefcount(thing) - before

        things: list[int] = []
        assert run(main) == 0
        assert things

    def test_none_is_left_behind_while_greenlets_go_on(self) -> None:
        def main() -> None:
            seen: list[int] = []
            done: list[bool] = []

            def restless() -> None:
                while not done:
                    let_others_run()

            the_hub().start(restless)
            for number in range(10):
                the_hub().start(seen.append, number)
                let_others_run(2)
                assert seen[-1] == number
            done.append(True)
            let_others_run()

        run(main)


class TestFairness:
    def test_who_need_not_wait_lets_others_run(self) -> None:
        def main() -> int:
            turns = 0
            with green_pair() as (connection, client):
                client.sendall(bytes(1000))

                def read() -> None:
                    for _ in range(1000):
                        assert connection.recv(1)

                reader = spawn(read)
                while not reader.done():
                    turns += 1
                    let_others_run()
            return turns

        assert run(main) >= 1000 // 65

    def test_who_need_not_wait_lets_the_kernel_be_asked(self) -> None:
        def main() -> int:
            with green_pair() as (busy, busy_peer), green_pair() as (other, other_peer):
                busy_peer.sendall(bytes(1000))
                waiter = spawn(other.recv, 10)
                let_others_run()
                calls = 0
                other_peer.sendall(b"x")
                while not waiter.done():
                    assert busy.recv(1)
                    calls += 1
                return calls

        assert run(main) <= 3 * 65

    def test_who_writes_lets_others_run(self) -> None:
        def main() -> int:
            turns = 0
            with green_pair() as (connection, _):

                def write() -> None:
                    for _ in range(1000):
                        connection.sendall(b"x")
                    for _ in range(1000):
                        connection.send(b"x")

                writer = spawn(write)
                while not writer.done():
                    turns += 1
                    let_others_run()
            return turns

        assert run(main) >= 2000 // 65


class TestTime:
    def test_functions_are_called_in_the_order_of_their_moments(self) -> None:
        def main() -> list[str]:
            order: list[str] = []
            now = time.monotonic()
            for delay, letter in [(0.03, "d"), (0.01, "b"), (0.02, "c"), (-1.0, "a"), (0.03, "e")]:
                the_hub().call_at(now + delay, partial(order.append, letter))
            the_hub().call_at(now + 0.04, partial(the_hub().wake, getcurrent()))
            the_hub().park()
            assert time.monotonic() >= now + 0.04
            return order

        assert run(main) == list("abcde")

    def test_what_is_cancelled_is_not_called(self) -> None:
        def main() -> list[str]:
            called: list[str] = []
            now = time.monotonic()
            timers = [the_hub().call_at(now + delay, partial(called.append, str(delay))) for delay in (0, 0.001)]
            timers[0].cancel()
            the_hub().call_at(now + 0.002, partial(the_hub().wake, getcurrent()))
            the_hub().park()
            for timer in timers:
                timer.cancel()
            return called

        assert run(main) == ["0.001"]

    def test_a_function_may_schedule_others(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            left = 5

            def again() -> None:
                nonlocal left
                left -= 1
                if left:
                    hub.call_at(time.monotonic(), again)
                else:
                    hub.wake(me)

            hub.call_at(0, again)
            park_until(lambda: not left)

        run(main)

    def test_greenlets_that_go_on_hold_up_no_timer(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            the_hub().call_at(time.monotonic() + 0.001, lambda: rung.append(True))
            while not rung:
                let_others_run()

        run(main)

    def test_a_function_that_fails_harms_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error))

        def main() -> None:
            the_hub().call_at(0, fail)
            the_hub().call_at(0, partial(the_hub().wake, getcurrent()))
            the_hub().park()

        run(main)
        ((kind, error, traceback),) = told
        assert kind is Oops
        assert str(error) == "no"
        assert traceback is not None


class TestOtherThreads:
    def test_they_wake_a_hub_that_waits(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            woken: list[int] = []

            def wake() -> None:
                woken.append(threading.get_ident())
                hub.wake(me)

            def from_thread() -> None:
                assert eventually(lambda: hub.waiting)
                hub.call_from_thread(wake)

            thread = Background(from_thread)
            park_until(lambda: woken)
            thread.result()
            assert woken == [threading.get_ident()]

        run(main)

    def test_many_at_once(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            calls: list[tuple[int, int]] = []

            def from_thread(number: int) -> None:
                for turn in range(200):
                    hub.call_from_thread(partial(calls.append, (number, turn)))
                    hub.call_from_thread(partial(hub.wake, me))

            threads = [Background(from_thread, number) for number in range(8)]
            park_until(lambda: len(calls) == 1600)
            for number, thread in enumerate(threads):
                thread.result()
                assert [turn for caller, turn in calls if caller == number] == list(range(200))

        run(main)

    def test_a_function_that_fails_harms_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told: list[Any] = []
        monkeypatch.setattr(sys, "excepthook", lambda *error: told.append(error))

        def main() -> None:
            hub = the_hub()
            hub.call_from_thread(fail)
            hub.call_from_thread(partial(hub.wake, getcurrent()))
            hub.park()

        run(main)
        assert [kind for kind, _, _ in told] == [Oops]

    def test_after_the_end_nobody_is_called(self) -> None:
        hub = run(the_hub)
        hub.call_from_thread(fail)

    def test_they_see_whether_the_hub_waits(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            assert not hub.waiting

            looks: list[Any] = []

            def look() -> None:
                looks.append((eventually(lambda: hub.waiting), hub.switches, hub.current))
                hub.call_from_thread(partial(hub.wake, me))

            before = hub.switches
            thread = Background(look)
            park_until(lambda: looks)
            thread.result()
            assert looks == [(True, before, me)]
            assert hub.switches > before
            assert time.monotonic() - hub.resumed < 1

        run(main)


class TestInterrupting:
    def test_raises_where_the_greenlet_waits(self) -> None:
        def main() -> None:
            waiting: list[Any] = []

            def job() -> None:
                waiting.append(getcurrent())
                the_hub().park()

            task = spawn(job)
            let_others_run()
            the_hub().interrupt(waiting[0], Oops("enough"))
            with pytest.raises(Oops, match="enough"):
                task.result(30)

        run(main)

    def test_in_a_call_of_a_socket(self) -> None:
        def main() -> None:
            waiting: list[Any] = []
            with green_pair() as (connection, client):

                def job() -> Any:
                    waiting.append(getcurrent())
                    try:
                        return connection.recv(10)
                    except Oops:
                        return b"interrupted, then " + connection.recv(10)

                task = spawn(job)
                let_others_run()
                the_hub().interrupt(waiting[0], Oops())
                let_others_run()
                client.sendall(b"served")
                assert task.result(30) == b"interrupted, then served"

        run(main)

    def test_can_be_undone_in_time(self) -> None:
        def main() -> None:
            waiting: list[Any] = []

            def job() -> str:
                waiting.append(getcurrent())
                the_hub().park()
                return "undisturbed"

            task = spawn(job)
            let_others_run()
            error = Oops()
            the_hub().interrupt(waiting[0], error)
            assert not the_hub().forget_interrupt(waiting[0], Oops())
            assert the_hub().forget_interrupt(waiting[0], error)
            assert not the_hub().forget_interrupt(waiting[0], error)
            assert task.result(30) == "undisturbed"

        run(main)


class TestExceptionsThatLeaveAJob:
    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Oops])
    def test_they_reach_the_function_and_then_the_caller(self, kind: type[BaseException]) -> None:
        steps: list[str] = []

        def job() -> None:
            steps.append("job")
            raise kind

        def main() -> None:
            the_hub().start(job)
            try:
                the_hub().park()
            except BaseException as error:
                steps.append(type(error).__name__)
                let_others_run(3)  # there is a life after it
                raise

        with pytest.raises(kind):
            run(main)
        assert steps == ["job", kind.__name__]

    def test_the_function_may_take_them(self) -> None:
        def main() -> str:
            the_hub().start(fail)
            try:
                the_hub().park()
            except Oops:
                return "taken"
            return "not told"

        assert run(main) == "taken"

    def test_jobs_after_it_are_done(self) -> None:
        def main() -> None:
            done: list[int] = []
            for number in range(5):
                the_hub().start(done.append, number)
                the_hub().start(fail)
            while len(done) < 5:
                with contextlib.suppress(Oops):
                    let_others_run()
            assert done == list(range(5))
            with contextlib.suppress(Oops):
                let_others_run()

        run(main)


@contextmanager
def on_alarm(handler: Any) -> Iterator[None]:
    """Have a signal handler called in a moment."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raise_alarm(number: int, frame: FrameType | None) -> None:
    raise Alarm


class TestSignals:
    def test_what_a_handler_raises_while_all_wait_is_for_the_function(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                # It waits last, so that the kernel is asked on its stack.
                other = spawn(connection.recv, 10)
                with pytest.raises(Alarm):
                    park_until(lambda: False)
                client.sendall(b"well")
                assert other.result(30) == b"well"

        with on_alarm(raise_alarm):
            run(main)

    def test_control_c(self) -> None:
        steps: list[str] = []

        def main() -> None:
            try:
                park_until(lambda: False)
            finally:
                steps.append("cleaned up")

        def press(number: int, frame: FrameType | None) -> None:
            signal.raise_signal(signal.SIGINT)

        with on_alarm(press), pytest.raises(KeyboardInterrupt):
            run(main)
        assert steps == ["cleaned up"]

    def test_a_handler_may_wake(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            rung: list[bool] = []

            def ring(number: int, frame: FrameType | None) -> None:
                rung.append(True)
                hub.call_from_thread(partial(hub.wake, me))

            with on_alarm(ring):
                park_until(lambda: rung)

        run(main)

    def test_a_handler_that_returns_ends_no_wait(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            with green_pair() as (connection, client), on_alarm(lambda *_: rung.append(True)):

                def answer() -> None:
                    eventually(lambda: rung)
                    client.sendall(b"late")

                thread = Background(answer)
                assert connection.recv(10) == b"late"
                thread.result()

        run(main)

    def test_a_handler_that_waits_blocks_as_it_would_anywhere(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            answers: list[bytes] = []
            with green_pair() as (connection, client):
                client.sendall(b"x")

                def receive(number: int, frame: FrameType | None) -> None:
                    answers.append(connection.recv(1))
                    hub.call_from_thread(partial(hub.wake, me))

                with on_alarm(receive):
                    park_until(lambda: answers)
            assert answers == [b"x"]

        run(main)

    def test_between_greenlets_that_go_on(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            with on_alarm(lambda *_: rung.append(True)):
                while not rung:
                    let_others_run()

        run(main)


def test_a_connection_is_heard_while_others_compute() -> None:
    def main() -> None:
        with tcp_pair() as (accepted, client):
            connection = green(the_hub(), accepted.dup())
            with connection:
                connection.settimeout(0.05)
                waiter = spawn(connection.recv, 10)
                let_others_run()
                client.sendall(b"in time")
                compute_until(time.monotonic() + 0.1)
                assert waiter.result(30) == b"in time"

    run(main)


def test_a_listener_serves_many() -> None:
    def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as plain, green(the_hub(), plain) as listener:

            def echo(connection: socket.socket) -> None:
                with connection:
                    while data := connection.recv(100):
                        connection.sendall(data)

            def accept() -> None:
                for _ in range(30):
                    the_hub().start(echo, listener.accept()[0])

            acceptor = spawn(accept)
            clients = [socket.create_connection(listener.getsockname(), timeout=30) for _ in range(30)]
            acceptor.result(30)
            for number, client in enumerate(clients):
                client.sendall(f"hello {number}".encode())
            for number, client in enumerate(clients):
                connection = green(the_hub(), client)
                assert connection.recv(100) == f"hello {number}".encode()
                connection.close()
            let_others_run(3)
            park_until(lambda: the_hub().workers == the_hub().workers)

    run(main)
