"""A server for the length of a block, and clients that talk to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Generic, TypeVar

from doorkeep.addresses import AF_UNIX
from doorkeep.server import BaseServer
from doorkeep.testing.leaks import no_leaks

__all__ = ["Client", "Served", "serving"]

# Seconds that a client waits for the server.
TIMEOUT = 5.0
# Seconds that requests in progress have at the end.
DRAIN_TIMEOUT = 5.0
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_LARGEST_DATAGRAM = 65535

ServerType = TypeVar("ServerType", bound=BaseServer)


@contextmanager
def serving(
    server_class: Callable[..., ServerType],
    handler: Callable[..., Any],
    server_address: Any = None,
    **settings: Any,
) -> Iterator[Served[ServerType]]:
    """Serve with `handler` while the block lasts, `serve_forever` in a thread of its own.

    `server_address` is by default a free port of the loopback interface, or for Unix sockets a path in a
    temporary folder. `settings` go to the server's constructor. Yields a `Served` to talk to the server by.

    At the end closes the clients, gives requests in progress 5 seconds before they are cut, and closes the
    server. Raises then what `serve_forever` has raised, or `LeakError` if threads, child processes or
    descriptors are left that were not there before the block, the block's own included; of several blocks within
    each other the outermost tells. Raises neither over an exception of the block.
    """
    with _watched(), TemporaryDirectory(prefix="doorkeep-") as folder:
        if server_address is None:
            server_address = _free_address(getattr(server_class, "address_family", socket.AF_INET), folder)
        with server_class(server_address, handler, **settings) as server, Served(server, folder) as served:
            yield served


# Held by the block that looks for leaks.
_watching = threading.Lock()


@contextmanager
def _watched() -> Iterator[None]:
    """Look for leaks, unless a block around this one does, whose servers go on when this one ends."""
    if not _watching.acquire(blocking=False):
        yield
        return
    try:
        with no_leaks():
            yield
    finally:
        _watching.release()


def _free_address(family: int, folder: str) -> Any:
    if family == AF_UNIX:
        return os.path.join(folder, "server")
    return ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)


class Served(Generic[ServerType]):
    """A server that `serving` runs. `server` is the server itself."""

    def __init__(self, server: ServerType, folder: str) -> None:
        self.server = server
        self._folder = folder
        self._client_numbers = itertools.count(1)
        self._clients = ExitStack()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="serve_forever", daemon=True)

    @property
    def address(self) -> Any:
        """Where clients reach the server: a server on every address is reached by loopback."""
        address = self.server.server_address
        if isinstance(address, tuple) and address[0] in _LOOPBACK:
            return (_LOOPBACK[address[0]], *address[1:])
        return address

    @cached_property
    def client(self) -> socket.socket:
        """A client of the server, connected on first use; its calls wait for 5 seconds at the most."""
        return self.connect()

    def connect(self) -> socket.socket:
        """Return a further client of the server; it is closed with the server, if not before."""
        return self._clients.enter_context(self._connected())

    def exchange(self, data: bytes) -> bytes:
        """Send `data` as a client of its own and return the whole answer.

        A stream is sent, closed in this direction, and read to its end; a connection that the server resets
        has ended too. Of datagrams one is sent and one received. Raises `TimeoutError` when nothing has come
        for 5 seconds.
        """
        with self._connected() as client:
            if client.type == socket.SOCK_DGRAM:
                client.send(data)
                return client.recv(_LARGEST_DATAGRAM)
            # Beside the reading, so that a long answer is not waited for while it waits for us.
            sender = threading.Thread(target=_send_whole, args=(client, data), daemon=True)
            sender.start()
            try:
                return _receive_whole(client)
            finally:
                with contextlib.suppress(OSError):  # disconnected by the server
                    client.shutdown(socket.SHUT_RDWR)
                sender.join()

    def _connected(self) -> socket.socket:
        listener = self.server.socket
        client = Client(listener.family, listener.type)
        try:
            client.settimeout(TIMEOUT)
            if listener.family == AF_UNIX and listener.type == socket.SOCK_DGRAM:
                # Without a name of its own it could be sent no reply.
                client.bind(os.path.join(self._folder, f"client-{next(self._client_numbers)}"))
            client.connect(self.address)
        except BaseException:
            client.close()
            raise
        return client

    def _serve(self) -> None:
        try:
            self.server.serve_forever()
        except BaseException as error:
            self._error = error

    def __enter__(self) -> Served[ServerType]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clients.close()
        self.server.drain(DRAIN_TIMEOUT)
        self._thread.join(DRAIN_TIMEOUT)
        if error is None and self._error is not None:
            raise self._error


class Client(socket.socket):
    """A socket whose `close` ends the connection, also where a child that was forked meanwhile has inherited it."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # never connected, or ended before
            self.shutdown(socket.SHUT_RDWR)
        super().close()


def _send_whole(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the server may answer and leave before it has read all
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)


def _receive_whole(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while some := client.recv(65536):
            received += some
    return bytes(received)
