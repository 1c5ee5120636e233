"""Answers each datagram in capitals, through a Unix socket.

python examples/unix_datagram_server.py
python examples/unix_datagram_client.py hello world
"""

from __future__ import annotations

import argparse
import signal
from contextlib import suppress

from doorkeep import DatagramRequestHandler, UnixDatagramServer


class UpperCaseHandler(DatagramRequestHandler):
    def handle(self) -> None:
        # A client that has bound its socket to no path has no address to answer to.
        if self.client_address:
            self.wfile.write(self.packet.upper())


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each datagram in capitals, through a Unix socket.")
    parser.add_argument("--path", default="datagram.sock", help="the socket file (default: %(default)s)")
    path = parser.parse_args().path
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    # The file stays when the server ends, and is replaced when it starts again.
    with suppress(KeyboardInterrupt), UnixDatagramServer(path, UpperCaseHandler, socket_mode=0o600) as server:
        print("Listening at", server.server_address, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
