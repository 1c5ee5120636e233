"""Two ends of a conversation with no server between them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tcp_pair(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the accepted end of a TCP connection and the connecting one; their calls wait for 5 seconds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2], timeout=30) as client,
    ):
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(30)
            yield accepted, client


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes of a stream."""
    received = b""
    while len(received) < size:
        some = sock.recv(size - len(received))
        if not some:
            raise EOFError(f"the stream ended after {len(received)} of {size} bytes")
        received += some
    return received
