"""A server in another program's loop: `select` watches its `fileno()`, `handle_request()` takes what has come.

The program reads lines from its standard input, and tells whoever connects which was the last.

python examples/select_loop.py
nc 127.0.0.1 9999
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from contextlib import suppress

from doorkeep import StreamRequestHandler, TCPServer


class NoticeHandler(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.server.notice)


class NoticeServer(TCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    # A client may be gone again between select() and accept(): handle_request() then gives up after so many seconds.
    timeout = 0.1
    notice = b"nothing yet\n"


def run(server: NoticeServer) -> None:
    """Watch the server and the standard input until the latter ends."""
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            # Not readline(): what it reads ahead, select() does not see.
            typed = os.read(sys.stdin.fileno(), 65536)
            if not typed:
                return
            server.notice = typed.splitlines()[-1] + b"\n"
            print("The notice has changed", flush=True)
        if server in ready:
            server.handle_request()


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell clients which line was typed last.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C
    with suppress(KeyboardInterrupt), NoticeServer(("127.0.0.1", port), NoticeHandler) as server:
        print("Listening on port", server.server_address[1], flush=True)
        run(server)


if __name__ == "__main__":
    main()
