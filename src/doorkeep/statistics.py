"""What a server has done so far, in numbers."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters", "Statistics"]


@dataclass(frozen=True)
class Statistics:
    """A snapshot of a server, as `server.stats()` returns it.

    `accepted` counts what `get_request` has returned since the server was made, `active` the requests that are
    being handled now, `refused` those that were not let in, by reason, `failed` those whose handler raised,
    `accept_errors` the failures of `get_request`, by kind, `expired` the connections that a deadline closed, by
    setting, `truncated` the datagrams that were longer than `max_packet_size`, `blocked` how often a handler has held
    the hub of a green server for too long. A forking server counts failures
    as children that ended with another status than 0; what else happens in its children is not counted.
    """

    accepted: int = 0
    active: int = 0
    failed: int = 0
    truncated: int = 0
    blocked: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    accept_errors: dict[str, int] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)

    @property
    def refusals(self) -> int:
        """How many requests were not let in, for whatever reason."""
        return sum(self.refused.values())


class Counters:
    """The counts behind `Statistics`, for any thread; `accepted` belongs to the accepting thread alone."""

    def __init__(self) -> None:
        self.accepted = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, label: str = "") -> None:
        """Count one more of `name`, such as "refused" with the label "rate"."""
        with self._lock:
            self._counts[name, label] += 1

    def snapshot(self, active: int) -> Statistics:
        """Return all counts, with the number of requests that are active now."""
        with self._lock:
            counts = dict(self._counts)

        def labelled(name: str) -> dict[str, int]:
            return {label: count for (counted, label), count in counts.items() if counted == name}

        return Statistics(
            accepted=self.accepted,
            active=active,
            failed=counts.get(("failed", ""), 0),
            truncated=counts.get(("truncated", ""), 0),
            blocked=counts.get(("blocked", ""), 0),
            refused=labelled("refused"),
            accept_errors=labelled("accept"),
            expired=labelled("expired"),
        )
