"""What accepting is made of: kinds of failures, pauses that grow, and a wake-up for the loop."""

from __future__ import annotations

import errno
import os
import select
import ssl
import sys
from collections.abc import Iterator

import pytest

from doorkeep.connection import accepting
from doorkeep.connection.accepting import AcceptErrorKind, Backoff, Waker, classify
from tests.connection.virtual_time import VirtualTime


class TestClassify:
    """The kinds that the loops of servers do not show."""

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

    def test_gives_the_reserve_up_while_it_pauses(self, time: VirtualTime) -> None:
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
            raise OSError(errno.EMFILE, "no descriptor left")

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
