"""Tests of the threads between the accepting thread and the requests."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from doorkeep.concurrency.threads import Crew
from tests.background import Background, eventually


def join_all(threads: Iterable[threading.Thread]) -> None:
    """Wait until threads have ended."""
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


class TestCrew:
    """Jobs are done, once each, whatever the threads are at."""

    @pytest.mark.parametrize("linger", [0, 0.0005, 60])
    def test_each_job_is_done_once(self, linger: float) -> None:
        """A linger this short has jobs meet threads that are about to end."""
        crew = Crew(daemon=True)
        done: list[tuple[int, int]] = []
        ready = threading.Barrier(8, timeout=30)

        def employ(producer: int) -> list[threading.Thread]:
            ready.wait()
            jobs = ((lambda *numbers: done.append(numbers), producer, number) for number in range(100))
            return [thread for job in jobs if (thread := crew.employ(job, linger)) is not None]

        producers = [Background(employ, producer) for producer in range(8)]
        threads = [thread for producer in producers for thread in producer.result()]
        crew.close()
        join_all(threads)
        assert sorted(done) == [(producer, number) for producer in range(8) for number in range(100)]
        assert (crew.size, crew.spare) == (0, 0)

    def test_a_job_that_comes_as_its_thread_gives_up_waiting_is_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        came = threading.Event()
        waits = itertools.count()

        class Late(SimpleQueue[Any]):
            """Ends its first wait in vain, just when a job has come."""

            def get(self, block: bool = True, timeout: float | None = None) -> Any:
                if next(waits) == 0:
                    assert came.wait(30)
                    raise Empty
                return super().get(block, timeout)

        crew = Crew(daemon=True)
        monkeypatch.setattr(crew, "_jobs", Late())
        thread = crew.employ((lambda *_: None, None, None), 60)
        assert thread is not None
        assert eventually(lambda: crew.spare == 1)
        done = threading.Event()
        assert crew.employ((lambda *_: done.set(), None, None), 60) is None
        came.set()
        assert done.wait(30)
        crew.close()
        join_all([thread])
        assert (crew.size, crew.spare) == (0, 0)

    def test_jobs_that_wait_when_it_is_closed_are_done(self) -> None:
        def close_with_jobs() -> list[tuple[int, int]]:
            crew = Crew(daemon=True)
            meeting = threading.Barrier(4, timeout=30)
            threads = [crew.employ((lambda *_: meeting.wait(), 0, 0), 60) for _ in range(4)]
            assert eventually(lambda: crew.spare == 4)
            done: list[tuple[int, int]] = []
            for number in range(3):
                assert crew.employ((lambda *numbers: done.append(numbers), number, 0), 60) is None
            crew.close()
            join_all([thread for thread in threads if thread is not None])
            return sorted(done)

        for _ in range(50):
            assert close_with_jobs() == [(0, 0), (1, 0), (2, 0)]

    def test_tells_of_each_thread_that_falls_idle_or_ends(self) -> None:
        told = threading.Semaphore(0)
        crew = Crew(daemon=True, tell=told.release)
        thread = crew.employ((lambda *_: None, None, None), 60)
        assert told.acquire(timeout=30)
        assert (crew.size, crew.spare) == (1, 1)
        crew.close()
        assert told.acquire(timeout=30)
        assert (crew.size, crew.spare) == (0, 0)
        assert thread is not None
        join_all([thread])
        assert not told.acquire(blocking=False)
