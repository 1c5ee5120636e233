"""What serves programs, for all tests of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from doorkeep.http.cgi import CGIHTTPRequestHandler
from doorkeep.testing.served import Served

ServePrograms = Callable[..., Served[Any]]


class Handler(CGIHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass
