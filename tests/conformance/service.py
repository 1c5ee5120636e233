"""A server of a target, and clients that speak as its transport does."""

from __future__ import annotations

import os
import select
import socket
import ssl
from typing import Any, Protocol

from doorkeep.testing import Served
from tests.conformance.clients import Client, TLSClient

__all__ = ["Report", "Service", "Start"]

TIMEOUT = 30.0


class Service:
    """A running server, and its clients."""

    def __init__(self, served: Served[Any], context: ssl.SSLContext | None) -> None:
        self.served = served
        self.server = served.server
        self._family: int = self.server.socket.family
        self._context = context
        self._clients: list[Client] = []

    def connect(self, context: ssl.SSLContext | None = None, **options: Any) -> Client:
        """Return a new client, with the options of `Client`. `context` is one of the client's own, for TLS."""
        context = context or self._context
        if context is None:
            return self.connect_plain(**options)
        client = TLSClient(context, self._family, self.served.address, **options)
        self._clients.append(client)
        return client

    def connect_plain(self, **options: Any) -> Client:
        """Return a new client that knows of no TLS."""
        client = Client(self._family, self.served.address, **options)
        self._clients.append(client)
        return client

    def sender(self) -> socket.socket:
        """Return a new sender of datagrams."""
        return self.served.connect()

    def exchange(self, data: bytes, size: int | None = None) -> bytes:
        """Send `data` as a client of its own, and return the answer with whatever the server says until its end.

        The client waits for `size` bytes before it ends, by default for as many as it sends.
        """
        client = self.connect()
        client.send(data)
        answer = client.receive(len(data) if size is None else size)
        client.end_sending()
        answer += client.receive_all()
        client.close()
        return answer

    def close_clients(self) -> None:
        """Let all clients go."""
        for client in self._clients:
            client.close()


class Start(Protocol):
    """The type of the fixture `start`."""

    def __call__(self, handler: type, server_class: Any = None, **settings: Any) -> Service: ...


class Report:
    """A pipe by which a handler tells what it sees, from a child process too."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def tell(self, data: bytes) -> None:
        """Report something short."""
        os.write(self._writer, data)

    def hear(self, size: int) -> bytes:
        """Return the next `size` bytes that were reported."""
        heard = b""
        while len(heard) < size:
            if not select.select([self._reader], [], [], TIMEOUT)[0]:
                raise TimeoutError(f"only {heard!r} was reported")
            heard += os.read(self._reader, size - len(heard))
        return heard

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
