"""Time that passes only while a test has it pass, or a server waits."""

from __future__ import annotations

import selectors
from typing import Any


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
