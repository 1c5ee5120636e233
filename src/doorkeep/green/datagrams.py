"""Datagrams in batches: a system call receives many, and another sends the replies to them."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable
from typing import Any, Protocol

from doorkeep.green.core import COMPILED, Hub

__all__ = ["BatchSocket", "DatagramBatch", "batch_of"]


class DatagramBatch(Protocol):
    """Receives and sends the datagrams of a socket, many at a time."""

    def receive(self) -> list[tuple[bytes, Any]]:
        """Return up to 64 datagrams that wait, each with its sender's address; none if none does."""

    def collect(self, data: Any, address: Any) -> int:
        """Keep a datagram until the greenlet waits, a millisecond is over or there are 64; return its size.

        Returns -1 for one that has to be sent alone: it is long, its peer has sent none lately, or no hub runs.
        """

    def close(self) -> None:
        """Forget the socket, which stays open."""


class BatchSocket(socket.socket):
    """A datagram socket that sends replies together while a batch is being handled."""

    __slots__ = ("batch",)

    batch: DatagramBatch | None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.batch = None

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        """As `socket.socket.sendto`; errors of a reply that was kept come to the server's `handle_error`."""
        batch = self.batch
        if batch is not None and len(flags_and_address) == 1:
            size = batch.collect(data, flags_and_address[0])
            if size >= 0:
                return size
        return super().sendto(data, *flags_and_address)


def batch_of(hub: Hub, sock: Any, size: int, failed: Callable[[Any, OSError], object]) -> DatagramBatch | None:
    """Return what receives and sends datagrams of up to `size` bytes in batches; None where that cannot be.

    It can with the compiled hub, for sockets of the internet. `failed` is told of replies that could not be sent.
    """
    if not COMPILED or type(sock) is not BatchSocket or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    datagrams: Any = importlib.import_module("doorkeep.green.compiled.datagrams")

    def tell(address: Any, number: int) -> None:
        failed(address, OSError(number, os.strerror(number)))

    batch: DatagramBatch = datagrams.DatagramBatch(hub, sock, size, tell)
    return batch
