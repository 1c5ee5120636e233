"""Tests of the rounds, with servers that only say that they serve."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace

import pytest

from bench.load import LoadFailed, Result
from bench.machine import load_processors
from bench.process import NotServing, Server, serving
from bench.roster import Contender
from bench.rounds import measure, measure_once, rotated
from tests.bench.samples import case

FORKING = """
import os, signal, socket, time
listener = socket.create_server(("127.0.0.1", 0))
if os.fork():
    signal.pause()
while time.process_time() < 0.1:
    pass
print("PORT", listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.sendall(b"!")
signal.pause()
"""


def program(source: str) -> tuple[str, ...]:
    """Return the command that runs this Python source."""
    return (sys.executable, "-c", source)


def server(name: str, port: int) -> Contender:
    """Return a contender that says that it serves on the port, and sleeps."""
    return Contender(name, "", program(f"import signal; print('PORT {port}', flush=True); signal.pause()"))


def test_every_round_starts_with_another_contender() -> None:
    contenders = [server(name, 1) for name in "abc"]
    orders = ["".join(one.name for one in rotated(contenders, number)) for number in range(4)]
    assert orders == ["abc", "bca", "cab", "abc"]
    assert rotated([], 1) == []


def test_a_load_may_be_any_function() -> None:
    told: list[str] = []
    measurement = measure(case(server("a", 10), server("b", 20)), rounds=2, seconds=2, tell=told.append)
    rates = [(one.contender, one.round, one.result.rate) for one in measurement.samples]
    assert rates == [("a", 0, 5), ("b", 0, 10), ("b", 1, 10), ("a", 1, 5)]
    assert all(one.peak_memory > 1 << 20 for one in measurement.samples)
    assert told[0] == "nothing, round 1: a 5 nothings/s"


def test_a_contender_whose_module_or_program_is_missing_is_skipped() -> None:
    told: list[str] = []
    absent = [
        Contender("absent", "", program("raise SystemExit"), requires=("sys", module))
        for module in ("no_such_module", "no_such.module")
    ]
    absent.append(Contender("absent", "", program("raise SystemExit"), programs=("sh", "no-such-program")))
    measurement = measure(case(*absent), rounds=2, seconds=1, tell=told.append)
    assert not measurement.samples
    assert measurement.missing == told
    assert told == [
        "absent is left out: the module no_such_module is not installed.",
        "absent is left out: the module no_such.module is not installed.",
        "absent is left out: the program no-such-program is not installed.",
    ]


def test_a_contender_holds_no_more_connections_than_it_can() -> None:
    told: list[str] = []
    few, enough = (replace(server(name, 2), most_connections=most) for name, most in (("few", 1999), ("enough", 2000)))
    measurement = measure(case(few, enough), rounds=1, seconds=1, tell=told.append)
    assert [one.contender for one in measurement.samples] == ["enough"]
    assert measurement.missing == ["few is left out: it is not asked to hold more than 1,999."]


def test_servers_of_one_thread_are_kept_off_the_processor_of_the_load() -> None:
    allowed: dict[bool, set[int]] = {}

    def look(server: Server, seconds: float) -> Result:
        allowed[one_thread] = os.sched_getaffinity(server.pid)
        return Result(rate=1, total=1)

    for one_thread in (True, False):
        contender = replace(server("a", 1), one_thread=one_thread)
        measure_once(replace(case(contender), load=look), contender, 0, 1)
    mine = os.sched_getaffinity(0)
    assert allowed == {True: mine - load_processors() if len(mine) > 1 else mine, False: mine}


def test_a_contender_that_does_not_start_is_left_out() -> None:
    told: list[str] = []
    measurement = measure(case(Contender("broken", "", program("1/0"))), rounds=3, seconds=1, tell=told.append)
    assert measurement.missing == told
    assert told == [
        "nothing, round 1: broken failed: It did not say its port, and it ended with status 1: "
        "ZeroDivisionError: division by zero."
    ]


def test_a_load_that_fails_costs_the_round() -> None:
    outcomes: list[Result | None] = [None, Result(rate=1, total=1)]

    def fail_once(server: Server, seconds: float) -> Result:
        outcome = outcomes.pop(0)
        if outcome is None:
            raise LoadFailed("load: no message came back.")
        return outcome

    fails = replace(case(server("a", 1)), load=fail_once)
    measurement = measure(fails, rounds=2, seconds=1, tell=lambda sentence: None)
    assert [sample.round for sample in measurement.samples] == [1]
    assert measurement.missing == ["nothing, round 1: a failed: load: no message came back. Of the server: it runs."]


def test_children_of_a_server_are_counted_and_ended() -> None:
    with serving(list(program("import signal; print('PORT 1', flush=True); signal.pause()"))) as one:
        alone = one.peak_memory()
    with socket.socket() as peer:
        peer.settimeout(30)
        with serving(list(program(FORKING))) as two:
            peer.connect(("127.0.0.1", two.port))
            assert peer.recv(1) == b"!"
            assert two.peak_memory() > alone
            assert two.cpu_seconds() > 0.05  # the kernel counts in hundredths
        assert peer.recv(1) == b""  # the end of the child closed it


def test_a_server_that_says_something_else_is_not_serving() -> None:
    with pytest.raises(NotServing, match="ended with status 0"), serving(list(program("print('hello')"))):
        pass
