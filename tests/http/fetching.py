"""A client that fetches one thing after another from a server of a test."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from email.message import Message
from typing import Any

from doorkeep.testing.served import Served

__all__ = ["Response", "fetch"]


@dataclass(frozen=True)
class Response:
    """A response that has been read to its end."""

    status: int
    reason: str
    headers: Message
    body: bytes


def fetch(served: Served[Any], target: str, method: str = "GET", **headers: str) -> Response:
    """Send a request on a connection of its own; `if_range="x"` sends the header If-Range."""
    host, port = served.address[:2]
    connection = http.client.HTTPConnection(host, port, timeout=50)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return Response(response.status, response.reason, response.headers, response.read())
    finally:
        connection.close()
