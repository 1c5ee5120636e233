"""Calls that would block a hub, made in threads."""

from __future__ import annotations

import logging
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from doorkeep.green import Task, offload, offload_pool, run, sleep, spawn, timeout
from doorkeep.green.offloading import OffloadPool
from tests.background import eventually
from tests.green.places import Place, everywhere

SOON = 0.01

name: ContextVar[str] = ContextVar("name", default="nobody")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the pool have one thread, which the calls of other tests have left."""
    assert eventually(lambda: offload_pool._threads == 0)
    monkeypatch.setattr(offload_pool, "size", 1)
    yield
    assert eventually(lambda: offload_pool._threads == 0)


def fail(message: str) -> None:
    raise ValueError(message)


def interrupt() -> None:
    raise KeyboardInterrupt


@everywhere
def test_it_returns_what_the_function_returns(place: Place) -> None:
    assert place(lambda: offload("{} {count}".format, "all", count=3)) == "all 3"


@everywhere
def test_it_raises_what_the_function_raises(place: Place) -> None:
    with pytest.raises(ValueError, match="no luck"):
        place(offload, fail, "no luck")
    with pytest.raises(KeyboardInterrupt):
        place(offload, interrupt)


def test_it_calls_in_another_thread_in_a_hub_only() -> None:
    here = threading.get_ident()
    assert run(offload, threading.get_ident) != here
    assert offload(threading.get_ident) == here


def test_others_run_meanwhile() -> None:
    blocked = threading.Event()

    def main() -> bool:
        releasing = spawn(blocked.set)
        return offload(blocked.wait, 30) and releasing.done()

    assert run(main)


@everywhere
def test_it_has_the_context_variables_of_its_caller(place: Place) -> None:
    def main() -> str:
        name.set("caller")
        return offload(name.get)

    token = name.set("test")
    try:
        assert place(main) == "caller"
    finally:
        name.reset(token)


def test_many_calls_at_once_have_a_thread_each() -> None:
    barrier = threading.Barrier(10)

    def main() -> int:
        tasks = [spawn(offload, barrier.wait, 30) for _ in range(10)]
        return sum(task.result(30) for task in tasks)

    assert run(main) == sum(range(10))


def end(pool: OffloadPool) -> None:
    """Have the threads of a pool end that would wait for more."""
    pool.size = 0
    pool.submit(Task(int))
    assert eventually(lambda: pool._threads == 0)


def test_threads_are_used_again() -> None:
    pool = OffloadPool(linger=3600)

    def thread_of_task() -> int:
        task = Task(threading.get_ident)
        pool.submit(task)
        return task.result(30)

    threads = set()
    for _ in range(10):
        threads.add(thread_of_task())
        assert eventually(lambda: pool._idle == 1)
    assert len(threads) == 1
    end(pool)


def test_threads_end_when_they_have_been_idle() -> None:
    pool = OffloadPool(linger=0.01)
    for _ in range(2):
        task = Task(int)
        pool.submit(task)
        assert task.result(30) == 0
        assert eventually(lambda: pool._threads == 0)


def test_an_idle_thread_holds_no_task() -> None:
    pool = OffloadPool(linger=3600)
    task = Task(int)
    pool.submit(task)
    task.result(30)
    assert eventually(lambda: pool._idle == 1)
    dropped = weakref.ref(task)
    del task
    assert dropped() is None
    end(pool)


@pytest.mark.usefixtures("one_thread")
def test_no_more_calls_at_a_time_than_the_pool_is_large() -> None:
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.001)
        inside -= 1

    def main() -> None:
        for task in [spawn(offload, work) for _ in range(10)]:
            task.result(30)

    run(main)
    assert most == 1


def test_an_idle_thread_is_not_counted_on_twice() -> None:
    pool = OffloadPool(linger=3600)
    first = Task(int)
    pool.submit(first)
    first.result(30)
    assert eventually(lambda: pool._idle == 1)
    barrier = threading.Barrier(2)
    tasks = [Task(lambda: barrier.wait(30)) for _ in range(2)]
    with pool._changed:  # before it wakes
        for task in tasks:
            pool.submit(task)
    assert sum(task.result(30) for task in tasks) == 0 + 1
    end(pool)


def test_a_pool_becomes_smaller_by_the_threads_that_wake() -> None:
    pool = OffloadPool(4, linger=60)  # none ends by itself
    barrier = threading.Barrier(4)
    waiting = [Task(barrier.wait) for _ in range(4)]
    for task in waiting:
        pool.submit(task)
    assert sum(task.result(30) for task in waiting) == 0 + 1 + 2 + 3
    assert eventually(lambda: pool._idle == 4)
    pool.size = 1
    one = Task(lambda: "done")
    pool.submit(one)
    assert one.result(30) == "done"
    assert pool._threads == 1
    pool.size = 0
    pool.submit(Task(int))
    assert eventually(lambda: pool._threads == 0)


@pytest.mark.usefixtures("one_thread")
def test_a_call_that_has_begun_goes_on_when_nobody_waits_any_more() -> None:
    begun, release = threading.Event(), threading.Event()
    log: list[str] = []

    def work() -> None:
        begun.set()
        release.wait(30)
        log.append("done")

    def main() -> None:
        while not begun.is_set():  # one that nobody waits for any more is not begun at all
            with pytest.raises(TimeoutError), timeout(SOON):
                offload(work)
        assert log == []
        release.set()
        offload(int)  # in the same thread, and so after it
        assert log == ["done"]

    run(main)


@pytest.mark.usefixtures("one_thread")
def test_a_call_that_has_not_begun_is_left_out_when_nobody_waits_any_more() -> None:
    release = threading.Event()
    log: list[str] = []

    def main() -> None:
        first = spawn(offload, release.wait, 30)
        sleep(0)
        with pytest.raises(TimeoutError), timeout(SOON):
            offload(log.append, "begun")
        release.set()
        first.result(30)
        offload(int)
        assert log == []

    run(main)


@pytest.mark.usefixtures("one_thread")
def test_a_failure_after_nobody_waits_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    begun, release = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(30)
        raise ValueError("no luck")

    def main() -> None:
        while not begun.is_set():  # one that nobody waits for any more is not begun at all
            with pytest.raises(TimeoutError), timeout(SOON):
                offload(work)
        release.set()
        offload(int)

    with caplog.at_level(logging.ERROR, "doorkeep.green"):
        run(main)
        assert eventually(lambda: caplog.records)
    assert "nobody has asked" in caplog.records[0].message


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    log: list[str] = []
    assert eventually(lambda: offload_pool._threads == 0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            run(offload, log.append, "too late")
    assert run(offload, int) == 0
    assert log == []


def test_no_further_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def main() -> bool:
        first = spawn(offload, release.wait, 30)
        sleep(0)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            second = spawn(offload, int)
            sleep(0)
        release.set()
        return first.result(30) and second.result(30) == 0

    assert run(main)


def test_a_child_process_has_threads_of_its_own() -> None:
    run(offload, int)  # leaves a thread that waits for more
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(50)  # should it wait for a thread of its parent
        try:
            status = run(offload, int)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
