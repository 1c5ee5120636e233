"""Sends its arguments as a datagram to `udp_server.py`, and prints what comes back."""

from __future__ import annotations

import argparse
import socket
from contextlib import suppress

ATTEMPTS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a datagram to the upper-casing UDP server.")
    parser.add_argument("--port", type=int, default=9999, help="where the server listens (default: %(default)s)")
    parser.add_argument("words", nargs="+", help="what to send")
    arguments = parser.parse_args()
    text = " ".join(arguments.words)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Connected, it takes datagrams from the server alone, and learns if nobody listens there.
        sock.connect(("127.0.0.1", arguments.port))
        print("Sent:    ", text)
        print("Received:", ask(sock, text.encode()).decode())


def ask(sock: socket.socket, question: bytes) -> bytes:
    """Return the answer to a question. Datagrams get lost: ask again when none comes within a second."""
    sock.settimeout(1)
    for _ in range(ATTEMPTS):
        sock.send(question)
        with suppress(TimeoutError):
            return sock.recv(65535)
    raise SystemExit(f"no answer within {ATTEMPTS} seconds")


if __name__ == "__main__":
    main()
