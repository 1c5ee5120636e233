"""What each failure of accept does to a server: it goes on, pauses or ends, and never spins."""

from __future__ import annotations

import errno
import itertools
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import TCPServer, UDPServer
from doorkeep.events import AcceptFailed, ListenerResumed, ListenerSuspended
from doorkeep.testing import FaultySocket, events_of
from tests.clients import connected_to
from tests.connection.virtual_time import VirtualTime
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
