"""Finding what a block of code leaves behind: threads, child processes and file descriptors.

    with no_leaks():
        with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            ...

What is found depends on the platform. Threads are found everywhere if `threading` knows them. Child processes
need Linux's `/proc/self/task/*/children`, descriptors need `/proc/self/fd` or `/dev/fd`; elsewhere they go
unwatched.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LeakError", "Resources", "no_leaks"]

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05


class LeakError(AssertionError):
    """Threads, child processes or file descriptors outlived the code that should have ended them."""


@dataclass(frozen=True)
class Resources:
    """What this process held at one moment, with a description of each.

    A thread is known by its object, as thread identifiers are used again; a child by its process identifier,
    which is kept until the child is reaped; a descriptor by its number, device and inode, as its number is
    used again.
    """

    threads: dict[threading.Thread, str]
    children: dict[int, str]
    descriptors: dict[tuple[int, int, int], str]

    @classmethod
    def now(cls) -> Resources:
        """Return what this process holds now."""
        return cls(
            threads={thread: f"thread {thread.name}" for thread in threading.enumerate()},
            children={pid: f"child process {pid} ({_command_of(pid)})" for pid in _child_pids()},
            descriptors=_open_descriptors(),
        )

    def acquired_since(self, earlier: Resources) -> list[str]:
        """Return a description of each resource that is held here and was not held `earlier`."""
        return [
            *(name for thread, name in self.threads.items() if thread not in earlier.threads),
            *(name for pid, name in self.children.items() if pid not in earlier.children),
            *(name for identity, name in self.descriptors.items() if identity not in earlier.descriptors),
        ]


@contextmanager
def no_leaks(grace: float = 2.0) -> Iterator[None]:
    """Raise `LeakError` if the block leaves a thread, a child process or a file descriptor behind.

    What ends by itself within `grace` seconds after the block is no leak, nor is what the garbage collector
    frees. Zero seconds: it must have ended with the block. A child that ended and was not waited for leaks.

    Ends and closes nothing itself. Looks at nothing if the block raises: that exception matters more.
    """
    if grace < 0:
        raise ValueError(f"grace must be zero seconds or more, not {grace!r}")
    before = Resources.now()
    yield
    leaked = _still_held(before, grace)
    if leaked:
        raise LeakError(f"left behind after {grace:g} seconds: {', '.join(leaked)}")


def _still_held(before: Resources, grace: float) -> list[str]:
    leaked = Resources.now().acquired_since(before)
    if not leaked:
        return []
    gc.collect()
    # Counted in pauses, not by the clock: while the machine stands still nothing gets a chance to end.
    remaining = grace
    pause = _FIRST_PAUSE
    never = threading.Event()
    while (leaked := Resources.now().acquired_since(before)) and remaining > 0:
        never.wait(min(pause, remaining))
        remaining -= pause
        pause = min(pause * 2, _LONGEST_PAUSE)
    return leaked


def _child_pids() -> set[int]:
    pids: set[int] = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            pids.update(map(int, task.read_text().split()))
        except OSError:  # the thread ended meanwhile
            continue
    return pids


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def _open_descriptors() -> dict[tuple[int, int, int], str]:
    found: dict[tuple[int, int, int], str] = {}
    for directory in ("/proc/self/fd", "/dev/fd"):
        try:
            numbers = [int(name) for name in os.listdir(directory)]
        except OSError:
            continue
        for number in numbers:
            try:
                status = os.fstat(number)
            except OSError:  # the descriptor that listed the directory, or one closed meanwhile
                continue
            found[number, status.st_dev, status.st_ino] = f"fd {number} -> {_target_of(directory, number)}"
        break
    return found


def _target_of(directory: str, number: int) -> str:
    try:
        return os.readlink(f"{directory}/{number}")
    except OSError:  # closed meanwhile, or a platform without links there
        return "unknown"
