"""Queues, events, semaphores and locks: in a hub, in threads, and from one to the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

import pytest
from greenlet import getcurrent

from doorkeep.green import Event, Lock, Queue, Semaphore, run, sleep, spawn
from doorkeep.green.hub import current_hub
from tests.background import Background
from tests.green.places import Place, everywhere

Result = TypeVar("Result")

SOON = 0.01


class Interrupted(Exception):
    """Raised by a test in what waits."""


class Waiting(Generic[Result]):
    """A task of this hub whose greenlet is known, and which has begun to wait."""

    def __init__(self, function: Callable[..., Result], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments
        self.task = spawn(self._run)
        sleep(0)

    def _run(self) -> Result:
        self._greenlet = getcurrent()
        return self._function(*self._arguments)

    def interrupt(self) -> None:
        """Have it raise `Interrupted` where it waits."""
        hub = current_hub()
        assert hub is not None
        hub.interrupt(self._greenlet, Interrupted())


# -- Queue -------------------------------------------------------------------------------------------------------


@everywhere
def test_a_queue_hands_items_on_in_their_order(place: Place) -> None:
    def main() -> list[int]:
        items: Queue[int] = Queue()
        task = spawn(lambda: [items.get(timeout=30) for _ in range(3)])
        for item in (1, 2, 3):
            items.put(item)
        return task.result(30)

    assert place(main) == [1, 2, 3]


def put_all(items: Queue[int], new: Iterable[int]) -> None:
    for item in new:
        items.put(item, timeout=30)


@everywhere
def test_a_full_queue_is_waited_for(place: Place) -> None:
    def main() -> list[int]:
        items: Queue[int] = Queue(1)
        task = spawn(put_all, items, range(5))
        taken = [items.get(timeout=30) for _ in range(5)]
        task.result(30)
        return taken

    assert place(main) == [0, 1, 2, 3, 4]


@everywhere
def test_a_queue_is_waited_for_no_longer_than_asked(place: Place) -> None:
    def main() -> None:
        items: Queue[int] = Queue(1)
        with pytest.raises(queue.Empty):
            items.get(timeout=SOON)
        with pytest.raises(queue.Empty):
            items.get_nowait()
        items.put(1)
        with pytest.raises(queue.Full):
            items.put(2, timeout=SOON)
        with pytest.raises(queue.Full):
            items.put_nowait(2)

    place(main)


@everywhere
def test_a_queue_is_joined_when_all_is_done(place: Place) -> None:
    def main() -> list[str]:
        items: Queue[str] = Queue()
        done: list[str] = []

        def work() -> None:
            for _ in range(2):
                item = items.get(timeout=30)
                sleep(SOON)
                done.append(item)
                items.task_done()

        items.put("one")
        items.put("two")
        task = spawn(work)
        items.join()
        seen = list(done)
        task.result(30)
        return seen

    assert place(main) == ["one", "two"]


def test_a_queue_goes_between_a_thread_and_a_hub_and_back() -> None:
    questions: Queue[int | None] = Queue(1)
    answers: Queue[int] = Queue(1)

    def answer() -> None:
        while (question := questions.get(timeout=30)) is not None:
            answers.put(question * 2, timeout=30)

    def ask() -> list[int]:
        found = []
        for question in range(50):
            questions.put(question, timeout=30)
            found.append(answers.get(timeout=30))
        questions.put(None, timeout=30)
        return found

    thread = Background(answer)
    assert run(ask) == [2 * question for question in range(50)]
    thread.result()
    hub = Background(run, answer)
    assert ask() == [2 * question for question in range(50)]
    hub.result()


def test_a_queue_goes_between_two_hubs() -> None:
    there: Queue[int] = Queue()
    back: Queue[int] = Queue()

    def add_one() -> None:
        for _ in range(50):
            back.put(there.get(timeout=30) + 1)

    def count() -> int:
        number = 0
        while number < 50:
            there.put(number)
            number = back.get(timeout=30)
        return number

    other = Background(run, add_one)
    assert run(count) == 50
    other.result()


def test_an_item_is_not_lost_on_a_greenlet_that_is_interrupted_when_it_comes() -> None:
    def main() -> None:
        items: Queue[str] = Queue()
        first, second = Waiting(items.get), Waiting(items.get)
        items.put("item")  # wakes the first
        first.interrupt()
        assert second.task.result(30) == "item"
        assert isinstance(first.task.exception(5), Interrupted)

    run(main)


def test_room_is_not_lost_on_a_greenlet_that_is_interrupted_when_there_is_some() -> None:
    def main() -> None:
        items: Queue[str] = Queue(1)
        items.put("taken")
        first, second = Waiting(items.put, "first"), Waiting(items.put, "second")
        items.get()
        first.interrupt()
        second.task.result(30)
        assert isinstance(first.task.exception(5), Interrupted)
        assert items.get() == "second"

    run(main)


# -- Event -------------------------------------------------------------------------------------------------------


@everywhere
def test_an_event_wakes_all_who_wait(place: Place) -> None:
    def main() -> list[bool]:
        event = Event()
        tasks = [spawn(event.wait, 5) for _ in range(3)]
        sleep(0)
        event.set()
        assert event.is_set()
        return [task.result(30) for task in tasks] + [event.wait()]

    assert place(main) == [True] * 4


@everywhere
def test_an_event_that_does_not_come(place: Place) -> None:
    def main() -> bool:
        event = Event()
        event.set()
        event.clear()
        return event.wait(SOON)

    assert place(main) is False


def test_an_event_that_is_cleared_at_once_has_come_to_those_who_waited() -> None:
    def main() -> bool:
        event = Event()
        waiting = Waiting(event.wait, 5)
        event.set()
        event.clear()
        return waiting.task.result(30)

    assert run(main)


def test_who_is_interrupted_pretends_no_event_to_others() -> None:
    def main() -> bool:
        event = Event()
        first, second = Waiting(event.wait), Waiting(event.wait, SOON)
        first.interrupt()
        assert isinstance(first.task.exception(5), Interrupted)
        return second.task.result(30)

    assert run(main) is False


def test_events_go_between_a_thread_and_a_hub_and_back() -> None:
    there, back = Event(), Event()

    def answer() -> bool:
        came = there.wait(5)
        back.set()
        return came

    def ask() -> bool:
        there.set()
        return back.wait(5)

    thread = Background(answer)
    assert run(ask)
    assert thread.result()
    there.clear()
    back.clear()
    hub = Background(run, answer)
    assert ask()
    assert hub.result()


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
                sleep(SOON)
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
        assert isinstance(first.task.exception(5), Interrupted)
        assert semaphore.locked()

    run(main)


def test_a_semaphore_is_not_given_to_those_who_have_gone() -> None:
    def main() -> None:
        semaphore = Semaphore(0)
        interrupted, impatient = Waiting(semaphore.acquire), Waiting(semaphore.acquire, True, SOON)
        interrupted.interrupt()
        assert isinstance(interrupted.task.exception(5), Interrupted)
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
            task.result(20)

    others = [Background(add), Background(run, add_twice)]
    run(add_twice)
    for other in others:
        other.result(20)
    assert count == 1000
