"""What `no_leaks` finds, what it lets pass, and what it says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from doorkeep.testing import leaks
from doorkeep.testing.leaks import LeakError, Resources, no_leaks

SHORT = 0.05
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """Collect what ends the leaks that a test makes on purpose."""
    with ExitStack() as stack:
        yield stack


def waiting_thread(cleanup: ExitStack, name: str) -> threading.Thread:
    """Return a started thread that lives until the test is over."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name=name)
    thread.start()
    cleanup.callback(thread.join)
    cleanup.callback(release.set)
    return thread


def test_nothing_left_behind_passes() -> None:
    with no_leaks(grace=0):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        left, right = socket.socketpair()
        left.close()
        right.close()
        subprocess.run([sys.executable, "-c", ""], check=True)


def test_what_was_there_before_passes(cleanup: ExitStack) -> None:
    waiting_thread(cleanup, "earlier")
    with no_leaks(grace=0):
        pass


def test_finds_a_thread_by_its_name(cleanup: ExitStack) -> None:
    with (
        pytest.raises(LeakError, match=r"left behind after 0\.05 seconds: thread forgotten$"),
        no_leaks(SHORT),
    ):
        waiting_thread(cleanup, "forgotten")


def test_a_thread_that_ends_within_the_grace_passes() -> None:
    with no_leaks(grace=30):
        threading.Timer(SHORT, int).start()


@linux_only
def test_finds_a_running_child(cleanup: ExitStack) -> None:
    reader, writer = os.pipe()
    cleanup.callback(os.close, reader)
    with pytest.raises(LeakError, match="child process") as caught, no_leaks(SHORT):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=reader, stderr=subprocess.DEVNULL)
        cleanup.callback(child.wait)
        cleanup.callback(os.close, writer)
    assert str(child.pid) in str(caught.value)


@linux_only
def test_finds_a_child_that_nobody_waited_for(cleanup: ExitStack) -> None:
    with pytest.raises(LeakError, match="child process"), no_leaks(SHORT):
        child = subprocess.Popen([sys.executable, "-c", ""])
        cleanup.callback(child.wait)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


@linux_only
def test_finds_a_descriptor_and_what_it_refers_to(cleanup: ExitStack) -> None:
    with pytest.raises(LeakError, match=r"fd \d+ -> socket:\[\d+\]") as caught, no_leaks(SHORT):
        stream = cleanup.enter_context(socket.socket())
    assert f"fd {stream.fileno()} -> " in str(caught.value)


@linux_only
def test_finds_another_file_under_a_number_used_before(cleanup: ExitStack, tmp_path: Path) -> None:
    earlier = os.open(tmp_path, os.O_RDONLY)
    cleanup.callback(os.close, earlier)
    with pytest.raises(LeakError, match=f"fd {earlier} -> {os.devnull}"), no_leaks(SHORT):
        other = os.open(os.devnull, os.O_RDONLY)
        os.dup2(other, earlier)
        os.close(other)


def test_an_open_file_that_was_renamed_or_removed_passes(cleanup: ExitStack, tmp_path: Path) -> None:
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    cleanup.enter_context(kept.open("w"))
    cleanup.enter_context(removed.open("w"))
    with no_leaks(grace=0):
        kept.rename(tmp_path / "renamed")
        removed.unlink()


def test_what_the_garbage_collector_frees_passes() -> None:
    class Holder:
        def __init__(self) -> None:
            self.me = self
            self.reader, self.writer = os.pipe()

        def __del__(self) -> None:
            os.close(self.reader)
            os.close(self.writer)

    with no_leaks(grace=0):
        Holder()


@linux_only
def test_names_all_that_leaks(cleanup: ExitStack) -> None:
    with (
        pytest.raises(LeakError, match=r"thread one, thread two, fd \d+ -> /.*, fd \d+ -> /"),
        no_leaks(SHORT),
    ):
        waiting_thread(cleanup, "one")
        waiting_thread(cleanup, "two")
        for _ in range(2):
            cleanup.callback(os.close, os.open("/", os.O_RDONLY))


def test_an_exception_of_the_block_is_not_hidden(cleanup: ExitStack) -> None:
    with pytest.raises(LookupError), no_leaks(SHORT):
        waiting_thread(cleanup, "leaked by a failure")
        raise LookupError


def test_refuses_a_negative_grace() -> None:
    with pytest.raises(ValueError, match="zero seconds or more, not -1"), no_leaks(-1):
        pass


def raising(error: OSError) -> Callable[..., object]:
    """Return a function that fails with the error whatever it is given."""

    def fail(*_arguments: object) -> object:
        raise error

    return fail


def test_watches_threads_where_nothing_tells_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "listdir", raising(FileNotFoundError()))
    monkeypatch.setattr(Path, "read_text", raising(FileNotFoundError()))
    resources = Resources.now()
    assert threading.current_thread() in resources.threads
    assert resources.children == {}
    assert resources.descriptors == {}


def test_names_a_descriptor_that_has_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "readlink", raising(OSError()))
    assert "fd 0 -> unknown" in Resources.now().descriptors.values()


@linux_only
def test_names_a_child_that_was_just_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_child_pids", lambda: {2**31})
    assert Resources.now().children == {2**31: f"child process {2**31} (ended)"}
