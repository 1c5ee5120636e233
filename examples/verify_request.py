"""Admits clients from one address range only.

python examples/verify_request.py --network 127.0.0.0/8
python examples/tcp_client.py hello world

`verify_request` can decide by anything. For addresses alone, the setting `allow=["127.0.0.0/8"]` does the same.
"""

from __future__ import annotations

import argparse
import signal
from ipaddress import IPv4Network, ip_address
from typing import Any

from doorkeep import StreamRequestHandler, ThreadingTCPServer


class UpperCaseHandler(StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline(65536):
            self.wfile.write(line.upper())


class GuardedServer(ThreadingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 1.0  # clients that are still connected then are cut off
    network: IPv4Network

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether the client may come in; a client that may not is closed without a word."""
        return ip_address(client_address[0]) in self.network


def main() -> None:
    parser = argparse.ArgumentParser(description="Admit clients from one address range only.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--network", type=IPv4Network, default="127.0.0.0/8", help="default: %(default)s")
    arguments = parser.parse_args()
    with GuardedServer(("127.0.0.1", arguments.port), UpperCaseHandler) as server:
        server.network = arguments.network
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print(f"Listening on port {server.server_address[1]} for {server.network}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
