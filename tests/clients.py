"""Clients of servers that a test runs itself."""

from __future__ import annotations

from typing import Any

from doorkeep import BaseServer
from doorkeep.testing.served import Client


def connected_to(server: BaseServer, address: Any = None) -> Client:
    """Return a client of a server, connected to its own address or another; its calls wait for 30 seconds."""
    client = Client(server.socket.family, server.socket.type)
    client.settimeout(30)
    try:
        client.connect(server.server_address if address is None else address)
    except BaseException:
        client.close()
        raise
    return client
