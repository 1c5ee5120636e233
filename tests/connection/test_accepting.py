"""What each failure of accept does to a server: it goes on, pauses or ends, and never spins."""

from __future__ import annotations

import errno
import itertools
import os
import select
import selectors
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import TCPServer, UDPServer, acceptor, server
from doorkeep.connection import accepting
from doorkeep.connection.accepting import AcceptErrorKind, Backoff, Waker, classify
from doorkeep.events import AcceptFailed, ListenerResumed, ListenerSuspended
from doorkeep.testing import FaultySocket, events_of
from tests.clients import connected_to
from tests.sample_handlers import Upper, UpperDatagram

# What 12 failures in a row wait for, in seconds: twice as long each time, up to a second.
PAUSES = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0, 1.0]
NO_DESCRIPTOR = OSError(errno.EMFILE, "no descriptor left")
PAUSING = [
    pytest.param(NO_DESCRIPTOR, "resources", id="EMFILE"),
    pytest.param(OSError(errno.ENFILE, "no descriptor left on the machine"), "resources", id="ENFILE"),
    pytest.param(OSError(errno.ENOMEM, "no memory left"), "resources", id="ENOMEM"),
    pytest.param(OSError(errno.ENOBUFS, "no buffer left"), "resources", id="ENOBUFS"),
    pytest.param(MemoryError(), "resources", id="MemoryError"),
    pytest.param(OSError(errno.EIO, "an error of the future"), "error", id="EIO"),
    pytest.param(OSError(errno.EINVAL, "not listening"), "error", id="EINVAL"),
    pytest.param(OSError(errno.EBADF, "of another socket"), "error", id="EBADF"),
    pytest.param(OSError("without a number"), "error", id="no number"),
    pytest.param(LookupError("no error of a socket at all"), "error", id="LookupError"),
]


class VirtualTime:
    """Seconds that pass only while a selector waits in vain."""

    def __init__(self) -> None:
        self.now = 1000.0

    def selector(self) -> selectors.BaseSelector:
        """Return a selector that waits in this time."""
        time = self

        class Selector(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> Any:
                ready = super().select(0)
                if not ready:
                    assert timeout is not None, "would wait without end"
                    time.now += timeout
                return ready

        return Selector()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """Return the time that servers live in for this test."""
    time = VirtualTime()
    clock = SimpleNamespace(monotonic=lambda: time.now)
    for module in (accepting, acceptor, server):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(server, "_ServerSelector", time.selector)
    return time


class Turning(TCPServer):
    """Serves for so many turns of its loop."""

    turns = 50
    client: socket.socket

    def service_actions(self) -> None:
        self.turns -= 1
        if self.turns <= 0:
            self.shutdown()


@pytest.fixture
def turning(time: VirtualTime) -> Iterator[Turning]:
    """Return a server that serves for a while, with a client that waits all that time."""
    with Turning(("127.0.0.1", 0), Upper) as turning, connected_to(turning) as client:
        client.sendall(b"hello\n")
        client.shutdown(socket.SHUT_WR)
        assert select.select([turning], [], [], 30)[0]  # for no time passes by itself in which it could come
        turning.client = client
        yield turning


def failing(time: VirtualTime, moments: list[float], errors: Iterator[Any]) -> Iterator[Any]:
    """Yield the errors, and note when each was asked for."""
    for error in errors:
        moments.append(time.now)
        yield error


def pauses(moments: list[float]) -> list[float]:
    """Return the seconds between the moments."""
    return [round(later - earlier, 6) for earlier, later in itertools.pairwise(moments)]


class TestFailuresThatPause:
    """Out of descriptors or memory, or something unknown: waiting helps, hurrying does not."""

    @pytest.mark.parametrize(("error", "kind"), PAUSING)
    def test_wait_longer_each_time(self, time: VirtualTime, turning: Turning, error: Exception, kind: str) -> None:
        moments: list[float] = []
        turning.socket = FaultySocket(turning.socket, accept=failing(time, moments, itertools.repeat(error)))
        turning.serve_forever()
        assert pauses(moments)[: len(PAUSES)] == PAUSES
        assert len(moments) == turning.socket.calls["accept"]

    @pytest.mark.parametrize(("error", "kind"), PAUSING)
    def test_are_told_once(self, time: VirtualTime, turning: Turning, error: Exception, kind: str) -> None:
        turning.socket = FaultySocket(turning.socket, accept=itertools.repeat(error))
        with events_of(AcceptFailed, ListenerSuspended) as events:
            turning.serve_forever()
        (told,) = events.of(AcceptFailed)
        assert (told.kind, told.error) == (kind, error)
        assert {event.reason for event in events.of(ListenerSuspended)} == {kind}
        assert turning.stats().accept_errors == {kind: 1}

    @pytest.mark.parametrize(("error", "kind"), PAUSING)
    def test_heal_by_themselves(self, time: VirtualTime, turning: Turning, error: Exception, kind: str) -> None:
        turning.socket = FaultySocket(turning.socket, accept=[error] * 3)
        with events_of(AcceptFailed, ListenerSuspended, ListenerResumed) as events:
            turning.serve_forever()
        assert turning.client.recv(100) == b"HELLO\n"
        assert events[-1] == ListenerResumed(turning)
        assert time.now - 1000 >= sum(PAUSES[:3])

    def test_begin_anew_after_a_success(self, time: VirtualTime, turning: Turning) -> None:
        moments: list[float] = []
        errors = iter([NO_DESCRIPTOR, NO_DESCRIPTOR, NO_DESCRIPTOR, None, NO_DESCRIPTOR, NO_DESCRIPTOR, None])
        turning.socket = FaultySocket(turning.socket, accept=failing(time, moments, errors))
        with connected_to(turning) as second, events_of(AcceptFailed) as events:
            second.shutdown(socket.SHUT_WR)
            turning.serve_forever()
        assert pauses(moments) == [*PAUSES[:3], 0, *PAUSES[:2]]
        assert len(events) == 2

    def test_do_not_keep_a_shutdown_waiting(self, time: VirtualTime, turning: Turning) -> None:
        turning.socket = FaultySocket(turning.socket, accept=itertools.repeat(NO_DESCRIPTOR))
        turning.turns = 1
        turning.serve_forever()
        assert turning.socket.calls["accept"] == 1

    def test_pause_the_reading_of_datagrams_too(self, time: VirtualTime) -> None:
        class TurningUDP(UDPServer):
            turns = 50
            service_actions = Turning.service_actions

        moments: list[float] = []
        with TurningUDP(("127.0.0.1", 0), UpperDatagram) as turning, connected_to(turning) as client:
            client.send(b"hello")
            assert select.select([turning], [], [], 30)[0]
            errors = iter([OSError(errno.ENOMEM, "no memory left")] * 3)
            turning.socket = FaultySocket(turning.socket, recvfrom=failing(time, moments, errors))
            turning.serve_forever()
            assert client.recv(100) == b"HELLO"
        assert pauses(moments) == PAUSES[:2]

    def test_handle_request_returns_after_one(self) -> None:
        with TCPServer(("127.0.0.1", 0), Upper) as single, connected_to(single):
            single.socket = FaultySocket(single.socket, accept=[NO_DESCRIPTOR])
            single.handle_request()
            assert single.socket.calls["accept"] == 1


class TestFailuresOfAClient:
    """A connection that was broken off before it was accepted: the next one is none the worse."""

    @pytest.mark.parametrize(
        "name", ["ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "ETIMEDOUT", "ECONNRESET", "EPERM"]
    )
    def test_go_on_at_once(self, time: VirtualTime, turning: Turning, name: str) -> None:
        errors = [OSError(getattr(errno, name), "gone")] * 3
        turning.socket = FaultySocket(turning.socket, accept=errors)
        turning.turns = 2
        with events_of(AcceptFailed, ListenerSuspended) as events:
            turning.serve_forever()
        assert turning.client.recv(100) == b"HELLO\n"
        assert [event.kind for event in events.of(AcceptFailed)] == ["aborted"] * 3
        assert events.of(ListenerSuspended) == []
        assert turning.stats().accept_errors == {"aborted": 3}

    def test_pause_if_they_do_not_end(self, time: VirtualTime, turning: Turning) -> None:
        """A security module that forbids every accept, say, leaves the connection where it was."""
        moments: list[float] = []
        error = OSError(errno.EPERM, "forbidden")
        turning.socket = FaultySocket(turning.socket, accept=failing(time, moments, itertools.repeat(error)))
        with events_of(AcceptFailed) as events:
            turning.serve_forever()
        assert len(moments) < 200
        assert events.of(AcceptFailed)[-1].kind == "error"
        assert time.now > 1010


class TestNothingToAccept:
    """Somebody else was faster, a signal came, or the listener has a time-out of its own."""

    @pytest.mark.parametrize(
        "error",
        [BlockingIOError(errno.EAGAIN, "none there"), InterruptedError(errno.EINTR, "a signal"), TimeoutError()],
    )
    def test_is_no_failure(self, time: VirtualTime, turning: Turning, error: Exception) -> None:
        turning.socket = FaultySocket(turning.socket, accept=[error])
        turning.turns = 3
        with events_of(AcceptFailed, ListenerSuspended) as events:
            turning.serve_forever()
        assert turning.client.recv(100) == b"HELLO\n"
        assert events == []
        assert time.now - 1000 < 2


class TestAClosedListener:
    def test_ends_the_loop(self, time: VirtualTime, turning: Turning) -> None:
        def closing() -> Iterator[OSError]:
            turning.socket.close()
            yield OSError(errno.EBADF, "closed")

        turning.socket = FaultySocket(turning.socket, accept=closing())
        with events_of(AcceptFailed) as events:
            turning.serve_forever()
        assert turning.turns > 40
        assert events == []

    def test_fails_handle_request(self, time: VirtualTime) -> None:
        with TCPServer(("127.0.0.1", 0), Upper) as single:
            single.socket.close()
            with pytest.raises(ValueError, match="the server is closed"):
                single.handle_request()


class TestClassify:
    """The kinds that the loops above do not show."""

    def test_an_error_of_tls_is_the_clients(self) -> None:
        # Its number is of OpenSSL's own table: 24 is no EMFILE here.
        assert classify(ssl.SSLError(errno.EMFILE, "bad record"), True) is AcceptErrorKind.ABORTED

    @pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.EMFILE, errno.ECONNABORTED])
    def test_nothing_is_expected_of_a_closed_listener(self, number: int) -> None:
        assert classify(OSError(number, ""), False) is AcceptErrorKind.CLOSED


class TestBackoff:
    def test_keeps_a_descriptor_in_reserve(self) -> None:
        backoff = Backoff()
        assert backoff.hold_reserve()
        before = len(os.listdir("/proc/self/fd"))
        backoff.release_reserve()
        assert len(os.listdir("/proc/self/fd")) == before - 1
        backoff.release_reserve()

    def test_gives_the_reserve_up_while_it_pauses(self, time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
        backoff = Backoff()
        backoff.hold_reserve()
        before = len(os.listdir("/proc/self/fd"))
        assert backoff.failed()
        assert len(os.listdir("/proc/self/fd")) == before - 1
        assert backoff.remaining() == pytest.approx(0.005)
        time.now += 0.005
        assert backoff.remaining() == 0
        assert len(os.listdir("/proc/self/fd")) == before
        backoff.release_reserve()

    def test_goes_on_pausing_while_the_reserve_cannot_be_had(
        self, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none_left(*_arguments: object) -> int:
            raise NO_DESCRIPTOR

        backoff = Backoff()
        backoff.failed()
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", none_left)
            for _ in range(3):
                time.now += 0.005
                assert backoff.remaining() == pytest.approx(0.005)
        time.now += 0.005
        assert backoff.remaining() == 0
        backoff.release_reserve()

    def test_tells_the_first_failure_from_those_after(self, time: VirtualTime) -> None:
        backoff = Backoff()
        assert [backoff.failed() for _ in range(3)] == [True, False, False]
        pausing = backoff.pausing
        backoff.succeeded()
        assert (pausing, backoff.pausing) == (True, False)
        assert backoff.remaining() == 0
        assert backoff.failed()


class TestWaker:
    @pytest.fixture
    def waker(self) -> Iterator[Waker]:
        waker = Waker()
        yield waker
        waker.close()

    def readable(self, waker: Waker) -> bool:
        """Return whether a selector would wake."""
        return bool(select.select([waker], [], [], 0)[0])

    def test_wakes_until_it_is_cleared(self, waker: Waker) -> None:
        assert not self.readable(waker)
        waker.wake()
        waker.wake()
        assert self.readable(waker)
        waker.clear()
        assert not self.readable(waker)
        waker.wake()
        assert self.readable(waker)

    def test_never_waits_however_often_it_is_called(self, waker: Waker) -> None:
        for _ in range(100_000):
            waker.wake()
        waker.clear()
        assert not self.readable(waker)

    def test_is_harmless_once_closed(self) -> None:
        waker = Waker()
        waker.close()
        waker.wake()
        waker.clear()
        assert waker.fileno() == -1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the BSDs do otherwise")
def test_accepted_sockets_block_on_linux() -> None:
    assert accepting.accepted_sockets_inherit_blocking() is False


# Runs out of descriptors for real. Tells how many clients it has when it does, and on a line of input how it fared.
STARVING = """
import logging, resource, sys, threading
from doorkeep import StreamRequestHandler, ThreadingTCPServer
from doorkeep.events import AcceptFailed, subscribe
from doorkeep.testing import FaultySocket

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

class Held(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"in")
        self.rfile.read()

logging.basicConfig(stream=sys.stderr, format="%(message)s")
subscribe(lambda event: print(event.server.stats().accepted, flush=True), AcceptFailed)
with ThreadingTCPServer(("127.0.0.1", 0), Held) as server:
    server.socket = FaultySocket(server.socket, accept=())
    threading.Thread(target=server.serve_forever).start()
    print(server.server_address[1], flush=True)
    for _ in sys.stdin:
        statistics = server.stats()
        failures = server.socket.calls["accept"] - statistics.accepted
        print(statistics.accepted, statistics.accept_errors.get("resources", 0), failures, flush=True)
    server.shutdown()
"""


def test_a_process_that_runs_out_of_descriptors_recovers() -> None:
    """For real: more clients than descriptors, then fewer. All are served, each time is logged, nothing spins."""
    command = [sys.executable, "-c", STARVING]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    with child, ExitStack() as clients:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        waiting = [clients.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(60)]
        limit = int(child.stdout.readline())
        assert 10 < limit < 40
        for client in waiting:  # they are accepted in the order in which they came
            assert client.recv(2) == b"in"
            client.close()
        child.stdin.write("how is it?\n")
        while len(answer := child.stdout.readline().split()) == 1:
            pass  # how many clients it had when it ran out once more
        accepted, told, failures = map(int, answer)
        assert accepted == 60
        assert told in range(1, failures + 1)  # more than once where clients leave so slowly that it fills up again
        # Those after a pause, and one at the end of each batch: ten thousands were it to spin.
        assert failures < 200
        child.stdin.close()
        assert child.stderr is not None
        assert child.stderr.read() == "accepting pauses: [Errno 24] Too many open files\n" * told
    assert child.returncode == 0
