"""The hub: running greenlets, and waking them."""

from __future__ import annotations

import contextvars
import os
import resource
import socket
import sys
import time
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.core import Hub
from doorkeep.green.hub import current_hub, hub_of_thread
from doorkeep.green.sockets import green
from tests.background import Background
from tests.connection.pairs import tcp_pair
from tests.green.channels import has_arrived
from tests.green.failures import Oops, fail
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub
from tests.green.places import compute_until

pytestmark = pytest.mark.usefixtures("poller")


name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


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


class TestStacks:
    def test_deep_calls_do_not_ask_the_kernel_for_memory_each_time(self) -> None:
        def deep(more: int) -> int:
            return deep(more - 1) if more else 0

        def count_faults() -> int:
            deep(20)
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            for _ in range(5000):
                deep(20)
            return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

        assert run(lambda: spawn(count_faults).result(30)) < 1000


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
                assert has_arrived(busy)
                assert has_arrived(other)
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


def test_a_connection_is_heard_while_others_compute() -> None:
    def main() -> None:
        with tcp_pair() as (accepted, client):
            connection = green(the_hub(), accepted.dup())
            with connection:
                connection.settimeout(0.05)

                def send_and_compute() -> None:
                    client.sendall(b"in time")
                    compute_until(time.monotonic() + 0.1)
                    assert has_arrived(connection)

                waiter = spawn(connection.recv, 10)
                spawn(send_and_compute)  # in the same turn: the hub looks at no clock in between
                assert waiter.result(30) == b"in time"

    run(main)


def test_a_listener_serves_many() -> None:
    def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as plain, green(the_hub(), plain) as listener:

            def echo(connection: socket.socket) -> None:
                with connection:
                    while data := connection.recv(100):
                        connection.sendall(data)
                ended.append(connection)

            ended: list[socket.socket] = []

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
            while len(ended) < 30:
                let_others_run()

    run(main)
