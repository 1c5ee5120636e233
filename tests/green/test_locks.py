"""Semaphores and locks: in a hub, in threads, and from one to the other."""

from __future__ import annotations

import threading

import pytest

from doorkeep.green import Lock, Semaphore, run, sleep, spawn
from tests.background import Background
from tests.green.interrupting import Interrupted, Waiting
from tests.green.places import Place, everywhere

SOON = 0.01


# -- Semaphore ---------------------------------------------------------------------------------------------------


@everywhere
def test_a_semaphore_lets_so_many_in_at_a_time(place: Place) -> None:
    def main() -> int:
        semaphore = Semaphore(2)
        counting = threading.Lock()
        inside = most = 0

        def work() -> None:
            nonlocal inside, most
            with semaphore:
                with counting:
                    inside += 1
                    most = max(most, inside)
                while most < 2:  # until another has come in, however late
                    sleep(SOON)
                sleep(SOON)  # and a third could
                with counting:
                    inside -= 1

        for task in [spawn(work) for _ in range(6)]:
            task.result(30)
        return most

    assert place(main) == 2


@everywhere
def test_a_semaphore_that_is_taken(place: Place) -> None:
    def main() -> None:
        semaphore = Semaphore()
        assert not semaphore.locked()
        assert semaphore.acquire()
        assert semaphore.locked()
        assert not semaphore.acquire(blocking=False)
        assert not semaphore.acquire(timeout=SOON)
        task = spawn(semaphore.acquire, timeout=30)
        semaphore.release()
        assert task.result(30)
        semaphore.release(2)
        assert semaphore.acquire(blocking=False)
        assert semaphore.acquire(blocking=False)
        assert not semaphore.acquire(blocking=False)

    place(main)


def test_what_a_semaphore_does_not_take() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        Semaphore(-1)
    semaphore = Semaphore(0)
    with pytest.raises(ValueError, match="once or more"):
        semaphore.release(0)
    with pytest.raises(ValueError, match="needs no timeout"):
        semaphore.acquire(blocking=False, timeout=1)


def test_a_semaphore_goes_between_a_thread_and_a_hub_and_back() -> None:
    there, back = Semaphore(0), Semaphore(0)

    def follow() -> None:
        for _ in range(50):
            assert there.acquire(timeout=30)
            back.release()

    def lead() -> None:
        for _ in range(50):
            there.release()
            assert back.acquire(timeout=30)

    thread = Background(follow)
    run(lead)
    thread.result()
    hub = Background(run, follow)
    lead()
    hub.result()


def test_a_semaphore_is_not_lost_on_a_greenlet_that_is_interrupted_when_its_turn_comes() -> None:
    def main() -> None:
        semaphore = Semaphore(0)
        first, second = Waiting(semaphore.acquire), Waiting(semaphore.acquire)
        semaphore.release()
        first.interrupt()
        assert second.task.result(30)
        assert isinstance(first.task.exception(30), Interrupted)
        assert semaphore.locked()

    run(main)


def test_a_semaphore_is_not_given_to_those_who_have_gone() -> None:
    def main() -> None:
        semaphore = Semaphore(0)
        interrupted, impatient = Waiting(semaphore.acquire), Waiting(semaphore.acquire, True, SOON)
        interrupted.interrupt()
        assert isinstance(interrupted.task.exception(30), Interrupted)
        assert not impatient.task.result(30)
        semaphore.release()
        assert semaphore.acquire(blocking=False)

    run(main)


# -- Lock --------------------------------------------------------------------------------------------------------


@everywhere
def test_a_lock_lets_one_in_at_a_time(place: Place) -> None:
    def main() -> int:
        lock = Lock()
        count = 0

        def add() -> None:
            nonlocal count
            with lock:
                seen = count
                sleep(0)
                count = seen + 1

        for task in [spawn(add) for _ in range(10)]:
            task.result(30)
        return count

    assert place(main) == 10


def test_a_lock_goes_to_those_who_wait_in_their_order() -> None:
    def main() -> list[int]:
        lock = Lock()
        order = []

        def take(number: int) -> None:
            with lock:
                order.append(number)

        with lock:
            waiting = [Waiting(take, number) for number in range(5)]
        lock.acquire()  # behind them, though nobody has it at this moment
        order.append(5)
        lock.release()
        for each in waiting:
            each.task.result(30)
        return order

    assert run(main) == [0, 1, 2, 3, 4, 5]


@everywhere
def test_a_lock_that_another_has(place: Place) -> None:
    def main() -> None:
        lock = Lock()
        assert not lock.locked()
        with lock:
            assert lock.locked()
            assert not spawn(lock.acquire, blocking=False).result(30)
            assert not spawn(lock.acquire, timeout=SOON).result(30)
            with pytest.raises(RuntimeError, match="who has acquired it"):
                spawn(lock.release).result(30)
        with pytest.raises(RuntimeError, match="who has acquired it"):
            lock.release()
        assert not lock.locked()

    place(main)


def test_what_a_lock_does_not_take() -> None:
    lock = Lock()
    with pytest.raises(ValueError, match="zero seconds or more"):
        lock.acquire(timeout=-2)
    with pytest.raises(ValueError, match="needs no timeout"):
        lock.acquire(blocking=False, timeout=1)


def test_a_lock_is_held_across_threads_and_hubs() -> None:
    lock = Lock()
    count = 0

    def add() -> None:
        nonlocal count
        for _ in range(200):
            with lock:
                seen = count
                sleep(0)
                count = seen + 1

    def add_twice() -> None:
        for task in [spawn(add), spawn(add)]:
            task.result(30)

    others = [Background(add), Background(run, add_twice)]
    run(add_twice)
    for other in others:
        other.result()
    assert count == 1000
