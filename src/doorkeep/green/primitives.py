"""What greenlets and threads agree by: each waits in its own way, and either may wake the other."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any, TypeVar

from greenlet import getcurrent

from doorkeep.green.timeouts import BoundedCondition

__all__ = ["Event", "Lock", "Queue", "Semaphore"]

Item = TypeVar("Item")


class Queue(queue.Queue[Item]):
    """As `queue.Queue`, for greenlets of any hub and for threads."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.mutex = threading.Lock()
        self.not_empty = _HandingOn(self.mutex)
        self.not_full = _HandingOn(self.mutex)
        self.all_tasks_done = BoundedCondition(self.mutex)


class _HandingOn(BoundedCondition):
    """A condition for those who look again when they are woken: whoever cannot hands on that it was woken."""

    def wait(self, timeout: float | None = None) -> bool:
        try:
            return super().wait(timeout)
        except BaseException:
            self.notify()
            raise


class Event(threading.Event):
    """As `threading.Event`, for greenlets of any hub and for threads."""

    def __init__(self) -> None:
        super().__init__()
        self._cond = BoundedCondition()


class Semaphore:
    """As `threading.Semaphore`, for greenlets of any hub and for threads, which get it in the order of asking.

    `value` is how many may have it at a time; `ValueError` if it is negative.
    """

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"a semaphore's value must be zero or more, not {value!r}")
        self._mutex = threading.Lock()
        self._value = value
        self._queue: deque[_Turn] = deque()

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it, and return whether that was possible within `timeout` seconds; None waits without end.

        Does not wait if not `blocking`; `ValueError` if there is a timeout then.
        """
        if not blocking and timeout is not None:
            raise ValueError("who does not wait needs no timeout")
        with self._mutex:
            if self._value > 0:  # then nobody waits
                self._value -= 1
                return True
            if not blocking:
                return False
            turn = _Turn(self._mutex)
            self._queue.append(turn)
            try:
                turn.wait_for(lambda: turn.has_come, timeout)
            except BaseException:
                if turn.has_come:
                    self._give_to_next()
                raise
            finally:
                if not turn.has_come:
                    self._queue.remove(turn)
            return turn.has_come

    def release(self, n: int = 1) -> None:
        """Give it back `n` times, whoever has taken it. `ValueError` if `n` is less than 1."""
        if n < 1:
            raise ValueError(f"a semaphore is released once or more, not {n!r} times")
        with self._mutex:
            for _ in range(n):
                self._give_to_next()

    def _give_to_next(self) -> None:
        if self._queue:
            turn = self._queue.popleft()
            turn.has_come = True
            turn.notify()
        else:
            self._value += 1

    def locked(self) -> bool:
        """Return whether who asks now would have to wait."""
        return self._value == 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


class _Turn(BoundedCondition):
    """One who waits for a semaphore."""

    has_come = False


class Lock:
    """As `threading.Lock`, for greenlets of any hub and for threads, which get it in the order of asking.

    Belongs to the greenlet or thread that has acquired it, and is not reentrant.
    """

    def __init__(self) -> None:
        self._free = Semaphore()
        self._owner: Any = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, and return whether that was possible within `timeout` seconds; -1 waits without end.

        Does not wait if not `blocking`; `ValueError` if there is a timeout then, or a negative one.
        """
        if timeout < 0 and timeout != -1:
            raise ValueError(f"a lock's timeout must be zero seconds or more, or -1, not {timeout!r}")
        if not self._free.acquire(blocking, None if timeout == -1 else timeout):
            return False
        self._owner = getcurrent()
        return True

    def release(self) -> None:
        """Give it to the one who has waited longest. `RuntimeError` if another has it, or nobody."""
        if self._owner is not getcurrent():
            raise RuntimeError("a lock is released by who has acquired it")
        self._owner = None
        self._free.release()

    def locked(self) -> bool:
        """Return whether anyone has it."""
        return self._free.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()
