"""How long connections are said to be idle, to the thread that watches deadlines."""

from __future__ import annotations

import threading
from typing import Any

# The name of that thread.
WATCHER = "doorkeep deadlines"


class KernelSays:
    """Stands for the kernel: `idle` is for how many seconds each connection is said to be idle."""

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self._looked = threading.Semaphore(0)

    def __call__(self, request: Any) -> float | None:
        if threading.current_thread().name == WATCHER:
            self._looked.release()
        return self.idle

    def wait_looked(self, times: int) -> None:
        for _ in range(times):
            assert self._looked.acquire(timeout=30)
