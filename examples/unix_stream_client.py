"""Sends its arguments as a line to `unix_stream_server.py`, and prints what comes back."""

from __future__ import annotations

import argparse
import socket


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a line through a Unix socket.")
    parser.add_argument("--path", default="stream.sock", help="the server's socket file (default: %(default)s)")
    parser.add_argument("words", nargs="+", help="what to send")
    arguments = parser.parse_args()
    line = " ".join(arguments.words)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(arguments.path)
        with connection.makefile("rw", encoding="utf-8", newline="\n") as stream:
            print(line, file=stream, flush=True)
            answer = stream.readline().rstrip("\n")
    print("Sent:    ", line)
    print("Received:", answer)


if __name__ == "__main__":
    main()
