"""Two ends of a conversation with no server between them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

Pair = tuple[socket.socket, socket.socket]


@contextmanager
def tcp_pair(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the accepted end of a TCP connection and the connecting one; their calls wait for 30 seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2], timeout=30) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            yield accepted, client


@contextmanager
def unix_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield two ends of a Unix connection; their calls wait for 30 seconds.

    For tests that fill one: it stays full until the other end reads, while TCP finds room for more a moment later, as
    acknowledgements come and the last of the window is used up.
    """
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        left.settimeout(30)
        right.settimeout(30)
        yield left, right


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes of a stream."""
    received = b""
    while len(received) < size:
        some = sock.recv(size - len(received))
        if not some:
            raise EOFError(f"the stream ended after {len(received)} of {size} bytes")
        received += some
    return received
