"""Answers each datagram from a thread of its own, so that a slow answer keeps no one else waiting.

python examples/threading_udp_server.py
python examples/udp_client.py hello world
"""

from __future__ import annotations

import argparse
import signal
import threading

from doorkeep import BaseRequestHandler, ThreadingUDPServer


class ThreadNameHandler(BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        name = threading.current_thread().name.encode()
        sock.sendto(name + b": " + data.upper(), self.client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each datagram from a thread of its own.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ThreadingUDPServer(("127.0.0.1", port), ThreadNameHandler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
