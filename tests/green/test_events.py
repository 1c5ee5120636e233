"""Events that greenlets and threads wait for: in a hub, in threads, and from one to the other."""

from __future__ import annotations

from types import FrameType

from doorkeep.green import Event, run, sleep, spawn, timeout
from tests.background import Background
from tests.green.hubs import the_hub
from tests.green.interrupting import Bell, Interrupted, Waiting
from tests.green.places import Place, everywhere

SOON = 0.01


@everywhere
def test_an_event_wakes_all_who_wait(place: Place) -> None:
    def main() -> list[bool]:
        event = Event()
        tasks = [spawn(event.wait, 30) for _ in range(3)]
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
        waiting = Waiting(event.wait, 30)
        event.set()
        event.clear()
        return waiting.task.result(30)

    assert run(main)


def test_who_is_interrupted_pretends_no_event_to_others() -> None:
    def main() -> bool:
        event = Event()
        first, second = Waiting(event.wait), Waiting(event.wait, SOON)
        first.interrupt()
        assert isinstance(first.task.exception(30), Interrupted)
        return second.task.result(30)

    assert run(main) is False


def test_events_go_between_a_thread_and_a_hub_and_back() -> None:
    there, back = Event(), Event()

    def answer() -> bool:
        came = there.wait(30)
        back.set()
        return came

    def ask() -> bool:
        there.set()
        return back.wait(30)

    thread = Background(answer)
    assert run(ask)
    assert thread.result()
    there.clear()
    back.clear()
    hub = Background(run, answer)
    assert ask()
    assert hub.result()


def test_a_signal_handler_may_set_an_event() -> None:
    def main() -> None:
        hub = the_hub()
        event = Event()

        def ring(number: int, frame: FrameType | None) -> None:
            if hub.parks():  # a greenlet was interrupted, and may be amid the event
                bell.armed = True
            else:
                event.set()

        with Bell(ring) as bell, timeout(30):
            event.wait()

    run(main)
