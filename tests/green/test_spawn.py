"""Functions that run beside the one that starts them."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar

import pytest
from greenlet import getcurrent

from doorkeep.green import Event, Queue, Task, run, sleep, spawn
from tests.background import Background, eventually
from tests.green.places import Place, everywhere

SOON = 0.01

name: ContextVar[str] = ContextVar("name", default="nobody")


def fail(message: str) -> None:
    raise ValueError(message)


@everywhere
def test_a_task_brings_a_result(place: Place) -> None:
    def main() -> str:
        task = spawn("{} {count}".format, "all", count=3)
        assert task.result(30) == "all 3"
        assert task.done()
        assert task.exception() is None
        return task.result()

    assert place(main) == "all 3"


@everywhere
def test_a_task_brings_a_failure(place: Place) -> None:
    def main() -> None:
        task = spawn(fail, "no luck")
        with pytest.raises(ValueError, match="no luck"):
            task.result(30)
        assert isinstance(task.exception(), ValueError)

    place(main)


def test_a_task_is_a_greenlet_of_the_hub_or_a_thread() -> None:
    here = threading.get_ident()
    assert run(lambda: spawn(threading.get_ident).result(30)) == here
    assert run(lambda: spawn(getcurrent).result(30) is not getcurrent())
    assert spawn(threading.get_ident).result(30) != here


@everywhere
def test_tasks_run_beside_each_other(place: Place) -> None:
    def main() -> bool:
        there, back = Event(), Event()

        def answer() -> bool:
            came = there.wait(30)
            back.set()
            return came

        task = spawn(answer)
        there.set()
        return back.wait(30) and task.result(30)

    assert place(main)


@everywhere
def test_a_result_is_waited_for_no_longer_than_asked(place: Place) -> None:
    def main() -> bool:
        release = Event()
        task = spawn(release.wait, 30)
        with pytest.raises(TimeoutError):
            task.result(SOON)
        with pytest.raises(TimeoutError):
            task.exception(SOON)
        release.set()
        return task.result(30)

    assert place(main)


@everywhere
def test_a_task_tells_when_it_is_done(place: Place) -> None:
    def main() -> str:
        told = Event()
        task = spawn(sleep, 0)
        task.add_done_callback(lambda _: told.set())
        return "told" if told.wait(30) else "not told"

    assert place(main) == "told"


def test_a_task_that_has_not_begun_can_be_cancelled() -> None:
    def main() -> None:
        log: list[str] = []
        task = spawn(log.append, "begun")
        assert task.cancel()
        with pytest.raises(CancelledError):
            task.result(30)
        sleep(SOON)
        assert log == []

    run(main)


@everywhere
def test_a_task_that_has_begun_cannot_be_cancelled(place: Place) -> None:
    def main() -> str:
        begun, release = Event(), Event()

        def work() -> str:
            begun.set()
            release.wait(30)
            return "done"

        task = spawn(work)
        begun.wait(30)
        assert not task.cancel()
        release.set()
        return task.result(30)

    assert place(main) == "done"


@everywhere
def test_a_task_has_the_context_variables_of_its_caller(place: Place) -> None:
    def main() -> str:
        def rename() -> str:
            before = name.get()
            name.set("task")
            return before

        name.set("caller")
        before = spawn(rename).result(30)
        assert name.get() == "caller"
        return before

    token = name.set("test")
    try:
        assert place(main) == "caller"
    finally:
        name.reset(token)


@everywhere
def test_a_failure_that_nobody_asks_for_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        spawn(fail, "no luck")
        sleep(0)

    gc.disable()  # it is not to be needed
    try:
        place(main)
        assert eventually(lambda: caplog.records)
    finally:
        gc.enable()
    (record,) = caplog.records
    assert "nobody has asked" in record.message
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no luck"


def test_who_asks_too_early_has_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    def wait_and_fail() -> None:
        asked.wait(30)
        raise ValueError("no luck")

    def main() -> None:
        with pytest.raises(TimeoutError):
            spawn(wait_and_fail).result(0)
        asked.set()
        sleep(0)

    asked = Event()
    run(main)
    assert eventually(lambda: caplog.records)


@everywhere
def test_a_failure_that_somebody_asks_for_is_not_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        def ask(task: Future[None]) -> None:
            if task.exception():
                told.set()

        with pytest.raises(ValueError, match="first"):
            spawn(fail, "first").result(30)
        assert str(spawn(fail, "second").exception(30)) == "second"
        told = Event()
        spawn(fail, "third").add_done_callback(ask)
        assert told.wait(30)

    place(main)
    gc.collect()
    assert not caplog.records


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_leaves_the_hub(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    def end() -> None:
        raise error

    def main() -> None:
        spawn(end)
        sleep(60)

    with pytest.raises(error):
        run(main)
    gc.collect()
    assert not caplog.records


def test_a_thread_waits_for_a_task_of_a_hub() -> None:
    tasks: Queue[Task[bool]] = Queue()
    release = Event()

    def main() -> None:
        task = spawn(release.wait, 30)
        tasks.put(task)
        task.result(30)

    hub = Background(run, main)
    waiting = Background(tasks.get(timeout=30).result, 30)
    release.set()
    assert waiting.result()
    hub.result()


def test_a_hub_waits_for_a_task_of_a_thread() -> None:
    release = Event()
    task = spawn(release.wait, 30)

    def main() -> bool:
        spawn(release.set)
        return task.result(30)

    assert run(main)
