"""Answers each datagram from a process of its own, and says which.

python examples/forking_udp_server.py
python examples/udp_client.py hello world
"""

from __future__ import annotations

import argparse
import os
import signal

from doorkeep import DatagramRequestHandler, ForkingUDPServer


class ProcessHandler(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"process %d: %b" % (os.getpid(), self.packet.upper()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each datagram from a process of its own.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ForkingUDPServer(("127.0.0.1", port), ProcessHandler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print(f"Process {os.getpid()} is listening on port {server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
