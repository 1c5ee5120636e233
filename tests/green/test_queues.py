"""Queues: in a hub, in threads, and from one to the other."""

from __future__ import annotations

import queue
from collections.abc import Iterable

import pytest

from doorkeep.green import Queue, run, sleep, spawn
from tests.background import Background
from tests.green.interrupting import Interrupted, Waiting
from tests.green.places import Place, everywhere

SOON = 0.01


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
        assert isinstance(first.task.exception(30), Interrupted)

    run(main)


def test_room_is_not_lost_on_a_greenlet_that_is_interrupted_when_there_is_some() -> None:
    def main() -> None:
        items: Queue[str] = Queue(1)
        items.put("taken")
        first, second = Waiting(items.put, "first"), Waiting(items.put, "second")
        items.get()
        first.interrupt()
        second.task.result(30)
        assert isinstance(first.task.exception(30), Interrupted)
        assert items.get() == "second"

    run(main)
