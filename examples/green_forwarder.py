"""Passes connections on to another server: thousands at a time, each with two greenlets rather than two threads.

python examples/tcp_server.py
python examples/green_forwarder.py --to 127.0.0.1:9999
python examples/tcp_client.py --port 9998 hello
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
from contextlib import suppress
from typing import Any

from doorkeep import GreenTCPServer, StreamRequestHandler
from doorkeep.green import connect, spawn


class ForwardHandler(StreamRequestHandler):
    def handle(self) -> None:
        try:
            upstream = connect(self.server.upstream, timeout=10)
        except OSError as error:
            logging.warning("%s cannot be reached: %s", self.server.upstream, error)
            return
        with upstream:
            upstream.settimeout(None)  # the ten seconds were for connecting
            answering = spawn(carry, upstream, self.connection)
            carry(self.connection, upstream)
            answering.result()


def carry(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and at last that no more will come."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one of the two has gone, and what the other still says is for nobody
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Forwarder(GreenTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    block_on_close = False  # connections may stay for hours: the end ends them
    max_connections = 10000

    def __init__(self, port: int, upstream: Any) -> None:
        self.upstream = upstream
        super().__init__(("127.0.0.1", port), ForwardHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pass connections on to another server.")
    parser.add_argument("--port", type=int, default=9998, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--to", default="127.0.0.1:9999", help="HOST:PORT of the server (default: %(default)s)")
    arguments = parser.parse_args()
    host, _, port = arguments.to.rpartition(":")
    with Forwarder(arguments.port, (host.strip("[]"), int(port))) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
