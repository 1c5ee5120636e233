"""The settings of HTTP servers, and what a server that faces a network should have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from doorkeep.connection.deadlines import DeadlineSettings
from doorkeep.settings import BYTES, COUNT, FLAG, LOG_FORMAT, POSITIVE_COUNT, SECONDS, Setting

__all__ = ["GRACE", "NETWORK_DEFAULTS", "HTTPSettings"]

# Seconds that a body may come or go more slowly than at `min_body_rate`.
GRACE = 5.0

# What `doorkeep` gives its HTTP servers beside its defaults for all servers.
NETWORK_DEFAULTS: Mapping[str, Any] = {
    "head_timeout": 20.0,
    "keep_alive_timeout": 30.0,
    "min_body_rate": 240,
    # Photographs and documents fit, and what a program keeps in memory while it handles a request stays bounded.
    "max_body_size": 64 << 20,
    "host_required": True,
}


class HTTPSettings(DeadlineSettings):
    """The settings of HTTP: seconds, bytes and counts; None for no limit."""

    head_timeout: Annotated[
        float | None,
        Setting(
            SECONDS,
            "how long a client may take for the head of a request: the first of a connection from its beginning, a "
            "further one from its first line",
            at_limit="the answer is 408 if some of it has come, and the connection is closed",
            takes_effect="for new connections",
        ),
    ] = None
    keep_alive_timeout: Annotated[
        float | None,
        Setting(
            SECONDS,
            "how long a connection may wait for its next request",
            at_limit="the connection is cut",
            takes_effect="for new connections",
        ),
    ] = None
    min_body_rate: Annotated[
        int | None,
        Setting(
            POSITIVE_COUNT,
            "how many bytes a second a client must send of a body that is waited for, or take of a response, on "
            "average and after 5 seconds; of responses where the kernel tells, as Linux does of TCP",
            at_limit="the connection is cut",
            takes_effect="for new connections",
        ),
    ] = None
    max_body_size: Annotated[
        int | None,
        Setting(
            BYTES,
            "how many bytes the body of a request may have",
            at_limit="the answer is 413, unless it has begun, and the connection is closed",
        ),
    ] = None
    max_requests_per_connection: Annotated[
        int | None,
        Setting(POSITIVE_COUNT, "how many requests a connection may make", at_limit="the connection is closed"),
    ] = None
    max_unread_body: Annotated[
        int,
        Setting(
            COUNT,
            "how many bytes of a body are read in its handler's stead, if it has left them, so that another request "
            "can follow",
            at_limit="the connection is closed",
        ),
    ] = 1 << 18
    host_required: Annotated[
        bool, Setting(FLAG, "whether a request of HTTP/1.1 without the header Host is refused, as RFC 9112 wants it")
    ] = False
    access_log: Annotated[
        str,
        Setting(
            LOG_FORMAT,
            "how lines of the access log look, unless the handler has a log_message of its own: as those of "
            "http.server, in the Combined Log Format, or as JSON; off: there are none",
        ),
    ] = "standard"

    # False once the server is to end: no connection is kept for another request.
    _keeps_connections = True

    @property
    def _has_deadlines(self) -> bool:
        return super()._has_deadlines or self._shortest_wait < math.inf

    @property
    def _shortest_wait(self) -> float:
        """How soon the earliest deadline could pass that a handler is yet to come to."""
        return min(
            self.head_timeout or math.inf,
            self.keep_alive_timeout or math.inf,
            GRACE if self.min_body_rate else math.inf,
        )
