"""Limits to how long a block waits."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from doorkeep.green import Event, Lock, Queue, Semaphore, run, sleep, spawn, timeout
from doorkeep.green.hub import current_hub
from doorkeep.green.sockets import green
from tests.connection.pairs import tcp_pair
from tests.green.places import Place, compute_until, everywhere

SOON = 0.01


def wait_for_queue() -> None:
    Queue().get()


def wait_for_room() -> None:
    full: Queue[int] = Queue(1)
    full.put(1)
    full.put(2)


def wait_for_event() -> None:
    Event().wait()


def wait_for_semaphore() -> None:
    Semaphore(0).acquire()


def wait_for_lock() -> None:
    lock = Lock()
    lock.acquire()
    lock.acquire()


def wait_for_task() -> None:
    release = Event()
    task = spawn(release.wait)
    try:
        task.result()
    finally:
        release.set()


WAITS = [wait_for_queue, wait_for_room, wait_for_event, wait_for_semaphore, wait_for_lock, wait_for_task]


@everywhere
@pytest.mark.parametrize("wait", [*WAITS, lambda: sleep(60)])
def test_a_wait_ends_when_the_time_is_up(place: Place, wait: Callable[[], None]) -> None:
    def main() -> float:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"not done within 0\.01 seconds"), timeout(SOON):
            wait()
        seconds = time.monotonic() - begun
        sleep(0)  # a task that was waited for ends
        return seconds

    assert place(main) >= SOON


@everywhere
def test_a_wait_that_is_shorter_is_what_it_is_without(place: Place) -> None:
    def main() -> None:
        with timeout(60):
            assert not Event().wait(SOON)
            sleep(SOON)

    place(main)


@everywhere
@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_no_time_is_enough_for_what_need_not_wait(place: Place, seconds: float) -> None:
    def main() -> None:
        event = Event()
        event.set()
        with timeout(seconds):
            assert event.wait()
            Lock().acquire()
        with pytest.raises(TimeoutError), timeout(seconds):
            Event().wait()

    place(main)


@everywhere
@pytest.mark.parametrize("seconds", [None, math.inf])
def test_no_limit(place: Place, seconds: float | None) -> None:
    def main() -> None:
        with timeout(seconds):
            sleep(SOON)
            assert not Event().wait(SOON)
            assert spawn(sleep_and_return, "done").result() == "done"
        with pytest.raises(TimeoutError), timeout(SOON), timeout(seconds):
            sleep(60)

    place(main)


def test_what_is_no_time() -> None:
    with pytest.raises(ValueError, match="not nan"):
        timeout(math.nan)


@everywhere
def test_computing_is_not_limited(place: Place) -> None:
    def main() -> str:
        with timeout(SOON):
            compute_until(time.monotonic() + SOON)
        return "done"

    assert place(main) == "done"


@everywhere
def test_nothing_is_raised_after_the_block(place: Place) -> None:
    def main() -> str:
        with timeout(SOON):
            pass
        with timeout(SOON):
            compute_until(time.monotonic() + SOON)
        sleep(2 * SOON)
        return "done"

    assert place(main) == "done"


@everywhere
def test_no_handling_of_failures_in_the_block_keeps_it_from_ending(place: Place) -> None:
    def main() -> list[str]:
        log = []
        with pytest.raises(TimeoutError), timeout(SOON):
            try:
                sleep(60)
            except Exception:
                log.append("swallowed")
            finally:
                log.append("cleaned up")
        return log

    assert place(main) == ["cleaned up"]


@everywhere
def test_the_cause_tells_where_it_waited(place: Place) -> None:
    def waits_here() -> None:
        sleep(60)

    def main() -> list[str]:
        with pytest.raises(TimeoutError) as raised, timeout(SOON):
            waits_here()
        cause = raised.value.__cause__
        traceback = cause and cause.__traceback__
        names = []
        while traceback:
            names.append(traceback.tb_frame.f_code.co_name)
            traceback = traceback.tb_next
        return names

    assert "waits_here" in place(main)


# -- Blocks in blocks --------------------------------------------------------------------------------------------


@everywhere
def test_the_inner_block_ends_and_the_outer_goes_on(place: Place) -> None:
    def main() -> None:
        with timeout(60):
            with pytest.raises(TimeoutError, match=r"0\.01"), timeout(SOON):
                sleep(60)
            sleep(SOON)

    place(main)


@everywhere
def test_the_outer_block_ends_the_inner(place: Place) -> None:
    def main() -> list[str]:
        log = []
        with pytest.raises(TimeoutError, match=r"0\.01"), timeout(SOON):
            try:
                with timeout(60):
                    sleep(60)
            except TimeoutError:
                log.append("the inner one took it for its own")
        return log

    assert place(main) == []


@everywhere
@pytest.mark.parametrize(("outer", "inner"), [(0.01, 0.02), (0.02, 0.01), (0.01, 0.01)])
def test_when_the_time_of_both_is_up_the_outer_block_ends(place: Place, outer: float, inner: float) -> None:
    def main() -> list[str]:
        log = []
        with pytest.raises(TimeoutError), timeout(outer):
            begun = time.monotonic()
            try:
                with timeout(inner):
                    compute_until(begun + outer + inner)  # both are up when it first waits
                    sleep(60)
            except TimeoutError:
                log.append("the inner one took it for its own")
        return log

    assert place(main) == []


@everywhere
def test_the_block_around_is_there_again_after_an_inner_one(place: Place) -> None:
    def main() -> None:
        inner_ended: list[object] = []
        while not inner_ended:  # on a machine that stands still for a moment the outer one may end both
            with pytest.raises(TimeoutError, match=r"0\.02"), timeout(2 * SOON):
                try:
                    with timeout(SOON):
                        sleep(60)
                except TimeoutError as error:
                    inner_ended.append(error)
                sleep(60)
        assert "0.01" in str(inner_ended[0])

    place(main)


@everywhere
def test_one_object_limits_many_blocks(place: Place) -> None:
    def main() -> None:
        limit = timeout(SOON)

        def wait() -> None:
            with pytest.raises(TimeoutError), limit:
                sleep(60)
            with pytest.raises(TimeoutError), limit, limit:
                sleep(60)

        for task in [spawn(wait) for _ in range(3)]:
            task.result(30)

    place(main)


# -- What a block limits, and what not ---------------------------------------------------------------------------


def sleep_and_return(result: str) -> str:
    sleep(3 * SOON)
    return result


@everywhere
def test_a_task_is_not_in_the_block_that_spawned_it(place: Place) -> None:
    def main() -> str:
        with timeout(SOON):
            task = spawn(sleep_and_return, "done")
        return task.result(30)

    assert place(main) == "done"


def test_green_sockets_are_limited() -> None:
    def main() -> None:
        hub = current_hub()
        assert hub is not None
        with tcp_pair() as (accepted, client), green(hub, accepted) as connection:
            with pytest.raises(TimeoutError, match=r"0\.01"), timeout(SOON):
                connection.recv(1)
            with connection.makefile("rb") as file, pytest.raises(TimeoutError, match=r"0\.01"), timeout(SOON):
                file.readline()
            with pytest.raises(TimeoutError, match=r"0\.01"), timeout(SOON):
                connection.sendall(bytes(1 << 26))
            client.sendall(b"still there")
            assert connection.recv(100) == b"still there"

    run(main)


def test_a_socket_of_its_own_timeout_is_as_ever() -> None:
    def main() -> None:
        hub = current_hub()
        assert hub is not None
        with tcp_pair() as (accepted, _), green(hub, accepted) as connection:
            connection.settimeout(SOON)
            with timeout(60), pytest.raises(TimeoutError, match="timed out"):
                connection.recv(1)

    run(main)


def test_greenlets_beside_a_block_are_not_limited() -> None:
    def main() -> str:
        task = spawn(sleep_and_return, "done")
        sleep(0)
        with pytest.raises(TimeoutError), timeout(SOON):
            sleep(60)
        return task.result(30)

    assert run(main) == "done"


def test_what_comes_when_the_time_is_up_is_not_lost() -> None:
    def main() -> str:
        items: Queue[str] = Queue()

        def impatient() -> None:
            with timeout(SOON):
                items.get()

        first = spawn(impatient)
        second = spawn(items.get)
        sleep(0)
        due = time.monotonic() + 2 * SOON
        compute_until(due)
        items.put("item")  # wakes the first, whose time is up when the hub next looks
        assert isinstance(first.exception(30), TimeoutError)
        return second.result(30)

    assert run(main) == "item"


def test_a_plain_socket_in_a_thread_is_not_limited() -> None:
    with tcp_pair() as (accepted, client), timeout(0):
        client.sendall(b"hello")
        assert accepted.recv(5, socket.MSG_WAITALL) == b"hello"


def outcome_of(function: Callable[[], Any]) -> Future[Any]:
    """Return what becomes of a function that is called now."""
    outcome: Future[Any] = Future()
    try:
        outcome.set_result(function())
    except Exception as error:
        outcome.set_exception(error)
    return outcome


def test_a_thread_in_a_block_limits_no_hub_that_it_runs() -> None:
    with timeout(SOON):
        outcome = outcome_of(lambda: run(sleep, 3 * SOON))
    assert outcome.exception() is None
