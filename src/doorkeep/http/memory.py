"""Small files kept in memory, with the answers that they get."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from doorkeep.http.conditions import SETTLED_AFTER
from doorkeep.http.representations import Answer

__all__ = ["FileMemory"]

# Seconds after which a file is looked for anew, as a compressed neighbour may have come, or another index page.
_KEPT = 1.0

# Bytes of the largest file. Of larger ones the sending costs more than what is saved.
_LARGEST = 1 << 16

# Bytes that each takes beside its content: requests for one file by many names are to be counted too.
_OVERHEAD = 2048


@dataclass(frozen=True, slots=True)
class _Kept:
    states: Sequence[tuple[str, tuple[int, ...]]]
    until: float
    answer: Answer
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content) + _OVERHEAD


class FileMemory:
    """Keeps the content of small files, `size` bytes together, and the answers to requests for the whole of them.

    A file that has changed is not recalled, nor what stands for it, such as a compressed form: its status is asked for
    at each use, which spares opening, reading and closing it. For any number of threads.
    """

    def __init__(self, size: int = 1 << 24) -> None:
        self.size = size
        self._kept: dict[Hashable, _Kept] = {}
        self._used = 0
        self._changing = threading.Lock()

    def recall(self, request: Hashable) -> tuple[Answer, bytes] | None:
        """Return answer and content for what was asked for, None if they are not known or may have changed."""
        kept = self._kept.get(request)
        if kept is None or kept.until < time.monotonic():
            return None
        try:
            for path, state in kept.states:
                if _state_of(os.stat(path)) != state:
                    return None
        except OSError:
            return None
        return kept.answer, kept.content

    def takes(self, size: int, sources: Mapping[str, os.stat_result]) -> bool:
        """Return whether an answer of `size` bytes can be kept that depends on these files, and their status."""
        settled_since = time.time() - SETTLED_AFTER
        return size <= _LARGEST and all(
            max(status.st_mtime, status.st_ctime) < settled_since for status in sources.values()
        )

    def keep(self, request: Hashable, sources: Mapping[str, os.stat_result], answer: Answer, content: bytes) -> None:
        """Keep what was answered to a request, which `takes` has taken."""
        states = [(path, _state_of(status)) for path, status in sources.items()]
        kept = _Kept(states, time.monotonic() + _KEPT, answer, content)
        with self._changing:
            before = self._kept.get(request)
            self._used += kept.size - (before.size if before is not None else 0)
            if self._used > self.size:
                # All at once: to know which was not used for longest would cost each use more than it is worth.
                self._kept.clear()
                self._used = kept.size
            self._kept[request] = kept


def _state_of(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev)
