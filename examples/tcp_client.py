"""Sends its arguments as a line to `tcp_server.py`, and prints what comes back."""

from __future__ import annotations

import argparse
import socket


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a line to the upper-casing TCP server.")
    parser.add_argument("--port", type=int, default=9999, help="where the server listens (default: %(default)s)")
    parser.add_argument("words", nargs="+", help="what to send")
    arguments = parser.parse_args()
    line = " ".join(arguments.words)
    with (
        socket.create_connection(("127.0.0.1", arguments.port), timeout=10) as connection,
        connection.makefile("rw", encoding="utf-8", newline="\n") as stream,
    ):
        print(line, file=stream, flush=True)
        # One recv() may bring half the answer; readline() goes on until the line is whole.
        answer = stream.readline().rstrip("\n")
    print("Sent:    ", line)
    print("Received:", answer)


if __name__ == "__main__":
    main()
