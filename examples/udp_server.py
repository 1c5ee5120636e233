"""Answers each datagram with the same text in capitals.

python examples/udp_server.py
python examples/udp_client.py hello world
"""

from __future__ import annotations

import argparse
import signal
from contextlib import suppress

from doorkeep import DatagramRequestHandler, UDPServer


class UpperCaseHandler(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each datagram in capitals.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    with suppress(KeyboardInterrupt), UDPServer(("127.0.0.1", port), UpperCaseHandler) as server:
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
