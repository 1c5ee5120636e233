"""Datagrams in batches: a system call receives many, and another sends the replies to them."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from doorkeep.green.core import COMPILED, Hub

__all__ = ["DatagramBatch", "batch_of", "make_socket"]

# There are batches with the compiled hub only.
_compiled: Any = importlib.import_module("doorkeep.green.compiled.datagrams") if COMPILED else None


class DatagramBatch(Protocol):
    """Receives the datagrams of a socket, many at a time, and sends what the socket keeps of replies to them.

    Iterating over it hands out what was received, as requests with their clients' addresses; several may, each those
    that no other has taken.
    """

    @property
    def waiting(self) -> bool:
        """Whether datagrams were received that nobody has taken."""

    def receive(self, size: int) -> int:
        """Receive up to 64 datagrams, of each up to `size` bytes, if none is `waiting`; return how many have come."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]: ...

    def close(self) -> None:
        """Forget the socket, which stays open."""


def make_socket(family: int, kind: int) -> socket.socket:
    """Return a new datagram socket; one that batches can be made for, if there are any."""
    made: socket.socket = (_compiled.BatchSocket if COMPILED else socket.socket)(family, kind)
    return made


def batch_of(
    hub: Hub, sock: Any, truncated: Callable[[Any, Any], Any], failed: Callable[[Any, OSError], object]
) -> DatagramBatch | None:
    """Return what receives and sends datagrams in batches; None where that cannot be.

    It can with the compiled hub, for sockets of the internet that `make_socket` has made, whose attribute `batch` is to
    be what this returns. `truncated` makes the request of a datagram that was longer, given one with a byte too many
    and the address. `failed` is told of replies that could not be sent.
    """
    if not COMPILED or type(sock) is not _compiled.BatchSocket or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None

    def tell(address: Any, number: int) -> None:
        failed(address, OSError(number, os.strerror(number)))

    batch: DatagramBatch = _compiled.DatagramBatch(hub, sock, truncated, tell)
    return batch
