"""What tests of channels share."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from doorkeep.green import spawn
from doorkeep.green.core import Channel
from doorkeep.green.sockets import GreenSocket, green
from tests.green.hubs import green_pair, let_others_run, the_hub


def channel_of(connection: socket.socket) -> Channel:
    assert isinstance(connection, GreenSocket)
    return connection._channel


def has_arrived(connection: socket.socket) -> bool:
    """Wait, outside of the hub, until there is something to read."""
    return bool(select.select([connection], [], [], 30)[0])


@contextmanager
def unix_pair(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[Any, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with green(the_hub(), left) as connection, right:
        connection.settimeout(30)
        yield connection, right


@contextmanager
def udp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as plain,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        plain.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        plain.connect(client.getsockname())
        client.connect(plain.getsockname())
        with green(the_hub(), plain) as connection:
            connection.settimeout(30)
            yield connection, client


PAIRS: dict[str, Callable[[], Any]] = {
    "tcp": green_pair,
    "unix": unix_pair,
    "unix datagrams": lambda: unix_pair(socket.SOCK_DGRAM),
    "udp": udp_pair,
}


def fill(connection: socket.socket) -> int:
    """Send without waiting until there is no room, which lasts on a Unix socket; return the size."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += connection.send(bytes(1 << 16))
    connection.settimeout(timeout)
    return size


def warm_up(connection: socket.socket, client: socket.socket) -> None:
    """Have the kernel watch the connection already."""
    reader = spawn(connection.recv, 100)
    let_others_run()
    client.sendall(b"warm")
    assert reader.result(30) == b"warm"
