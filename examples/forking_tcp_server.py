"""Answers each client from a process of its own, and says which.

python examples/forking_tcp_server.py
python examples/tcp_client.py hello world
"""

from __future__ import annotations

import argparse
import os
import signal

from doorkeep import ForkingTCPServer, StreamRequestHandler


class ProcessHandler(StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline(65536):
            self.wfile.write(b"process %d: %b" % (os.getpid(), line.upper()))


class ProcessServer(ForkingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    max_children = 20  # further clients wait in the kernel's backlog
    drain_timeout = 1.0  # children that still serve then are ended


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each client from a process of its own.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ProcessServer(("127.0.0.1", port), ProcessHandler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print(f"Process {os.getpid()} is listening on port {server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
