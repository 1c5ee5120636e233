"""Tests of the contenders: each starts, and answers as its work wants."""

from __future__ import annotations

import contextlib
import http.client
import socket
import socketserver
import subprocess
import sys

import pytest

from bench.catalogue import WORKS, Work
from bench.contenders.handlers import HANDLERS, request_handler
from bench.contenders.web import REPLY
from bench.load import Requests
from bench.process import serving
from bench.programs import compile_programs
from bench.roster import Contender, web
from tests import prerequisites

MESSAGES = {
    "echo": b"no newline",
    "lines": b"one\ntwo\n",
    "connect": b"one\n",
    "udp": b"datagram",
}
EVERY = [
    pytest.param(work, contender, id=f"{work.name}-{contender.name}")
    for work in WORKS
    if work.name in MESSAGES
    for contender in work.contenders
]


@pytest.fixture(scope="module")
def programs() -> None:
    """The server in C is there."""
    prerequisites.command("cc")
    compile_programs()


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("work", "contender"), EVERY)
def test_contender_answers(work: Work, contender: Contender) -> None:
    for module in contender.requires:
        prerequisites.module(module)
    message = MESSAGES[work.name]
    kind = socket.SOCK_DGRAM if work.name == "udp" else socket.SOCK_STREAM
    with serving(list(contender.command)) as server, socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(30)
        client.connect(("127.0.0.1", server.port))
        client.sendall(message)
        answer = b""
        while len(answer) < len(message):
            received = client.recv(100)
            assert received, f"only {answer!r} came back"
            answer += received
        assert answer == message
        if work.name == "connect":
            assert client.recv(1) == b""


WEB = [
    pytest.param(case.load.path, contender, id=f"{case.name}-{contender.name}")
    for work in WORKS
    for case in work.cases()
    if isinstance(case.load, Requests)
    for contender in work.contenders
]


@pytest.mark.parametrize(("path", "contender"), WEB)
def test_contender_answers_by_http(path: str, contender: Contender) -> None:
    for module in contender.requires:
        prerequisites.module(module)
    for program in contender.programs:
        prerequisites.command(program)
    expected = REPLY if path == "/" else bytes(int(path[1:]))
    with (
        serving(list(contender.command)) as server,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as client,
    ):
        for _ in range(2):
            client.request("GET", path)
            response = client.getresponse()
            assert (response.status, response.read()) == (200, expected)
            assert client.sock is not None, "the connection was not kept"


def test_requests_are_counted() -> None:
    prerequisites.command("wrk")
    contender = next(one for one in web("reply") if one.name == "standard-threading")
    with serving(list(contender.command)) as server:
        result = Requests("/", connections=2)(server, 0.1)
    assert 0 < result.rate < result.total
    assert result.errors == 0
    assert result.latency_p50 is not None
    assert result.latency_p99 is not None
    assert 0 < result.latency_p50 <= result.latency_p99
    assert result.load_cpu is not None


def test_the_works_without_a_message_here_have_contenders_of_those_with() -> None:
    tested = {contender.command for work in WORKS if work.name in MESSAGES for contender in work.contenders}
    assert {contender.command for work in WORKS if work.path is None for contender in work.contenders} == tested


def test_a_module_may_be_hidden_from_a_class() -> None:
    command = [sys.executable, "-m", "bench.contenders.classes", "echo", "--server=wave:open", "--without=wave"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "import of wave halted" in done.stderr


def test_a_handler_is_built_on_the_module_that_serves_it() -> None:
    assert issubclass(request_handler(socketserver, "line"), socketserver.StreamRequestHandler)
    assert issubclass(request_handler(socketserver, "datagram"), socketserver.DatagramRequestHandler)
    assert {f"async-{name}" for name in HANDLERS if not name.startswith("async-")} < HANDLERS.keys()


def test_every_work_has_the_limit_and_whom_its_goals_name() -> None:
    for work in WORKS:
        names = [contender.name for contender in work.contenders]
        assert [one.family == "limit" for one in work.contenders] == [True] + [False] * (len(names) - 1)
        assert len(set(names)) == len(names)
        for goal in (goal for goals in work.goals.values() for goal in goals):
            assert {goal.contender, goal.reference or names[0]} <= set(names)


def test_every_goal_is_of_a_case_that_is_measured() -> None:
    for work in WORKS:
        assert {goal for case in work.cases() for goal in case.goals} == {
            goal for goals in work.goals.values() for goal in goals
        }


def test_cases_are_named_by_their_numbers_unless_these_are_the_works_only_ones() -> None:
    works = {work.name: work for work in WORKS}
    assert [case.name for case in works["lines"].cases()] == ["lines"]
    assert [case.name for case in works["lines"].cases(sizes=[32, 64])] == ["lines-50x32", "lines"]
    names = [case.name for case in works["echo"].cases()]
    assert names[:2] + names[-1:] == ["echo-1x64", "echo-1x1024", "echo-10000x1024"]
    (case,) = works["idle"].cases(connections=[3])
    assert (case.name, case.connections, case.goals) == ("idle-3x64", 3, ())
    assert case.description.startswith("3 connections are opened, used for one message of 64 bytes")
