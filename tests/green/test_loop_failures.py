"""What raises in a hub: interrupts, failing jobs and signal handlers."""

from __future__ import annotations

import contextlib
import signal
from functools import partial
from types import FrameType
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from tests.background import Background, eventually
from tests.green.failures import Alarm, Oops, fail
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub
from tests.green.interrupting import Bell

pytestmark = pytest.mark.usefixtures("poller")


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


def raise_alarm(number: int, frame: FrameType | None) -> None:
    raise Alarm


class TestSignals:
    def test_what_a_handler_raises_while_all_wait_is_for_the_function(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                # It waits last, so that the kernel is asked on its stack.
                other = spawn(connection.recv, 10)
                with pytest.raises(Alarm):
                    bell.armed = True
                    park_until(lambda: False)
                client.sendall(b"well")
                assert other.result(30) == b"well"

        with Bell(raise_alarm, armed=False) as bell:
            run(main)

    def test_control_c(self) -> None:
        steps: list[str] = []

        def main() -> None:
            try:
                bell.armed = True
                park_until(lambda: False)
            finally:
                steps.append("cleaned up")

        def press(number: int, frame: FrameType | None) -> None:
            signal.raise_signal(signal.SIGINT)

        # A process started in the background may have inherited that the signal is ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with Bell(press, armed=False) as bell, pytest.raises(KeyboardInterrupt):
                run(main)
        finally:
            signal.signal(signal.SIGINT, before)
        assert steps == ["cleaned up"]

    def test_a_handler_may_wake(self) -> None:
        def main() -> None:
            hub, me = the_hub(), getcurrent()
            rung: list[bool] = []

            def ring(number: int, frame: FrameType | None) -> None:
                rung.append(True)
                hub.call_from_thread(partial(hub.wake, me))

            with Bell(ring):
                park_until(lambda: rung)

        run(main)

    def test_a_handler_that_returns_ends_no_wait(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            with green_pair() as (connection, client), Bell(lambda *_: rung.append(True)):

                def answer() -> None:
                    assert eventually(lambda: rung)
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

                with Bell(receive):
                    park_until(lambda: answers)
            assert answers == [b"x"]

        run(main)

    def test_between_greenlets_that_go_on(self) -> None:
        def main() -> None:
            rung: list[bool] = []
            with Bell(lambda *_: rung.append(True)):
                while not rung:
                    let_others_run()

        run(main)
