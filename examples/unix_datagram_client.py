"""Sends its arguments as a datagram to `unix_datagram_server.py`, and prints what comes back."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a datagram through a Unix socket.")
    parser.add_argument("--path", default="datagram.sock", help="the server's socket file (default: %(default)s)")
    parser.add_argument("words", nargs="+", help="what to send")
    arguments = parser.parse_args()
    text = " ".join(arguments.words)
    with (
        TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(10)
        # The answer needs somewhere to go: no one can answer a Unix socket that has no address of its own.
        sock.bind(str(Path(folder, "client.sock")))
        sock.connect(arguments.path)
        sock.send(text.encode())
        answer = sock.recv(65535).decode()
    print("Sent:    ", text)
    print("Received:", answer)


if __name__ == "__main__":
    main()
