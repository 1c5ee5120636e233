"""Answers each line with the same line in capitals.

python examples/tcp_server.py
python examples/tcp_client.py hello world
"""

from __future__ import annotations

import argparse
import signal
from contextlib import suppress

from doorkeep import StreamRequestHandler, TCPServer


class UpperCaseHandler(StreamRequestHandler):
    def handle(self) -> None:
        # A limit, so that a line without end cannot fill the memory: a longer one comes in pieces.
        while line := self.rfile.readline(65536):
            self.wfile.write(line.upper())


class UpperCaseServer(TCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    idle_timeout = 30.0  # one client at a time: a silent one is not to keep the others out


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line in capitals.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    with suppress(KeyboardInterrupt), UpperCaseServer(("127.0.0.1", port), UpperCaseHandler) as server:
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
