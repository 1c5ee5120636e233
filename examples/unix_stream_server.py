"""Answers each line in capitals, through a Unix socket.

python examples/unix_stream_server.py
python examples/unix_stream_client.py hello world
"""

from __future__ import annotations

import argparse
import signal

from doorkeep import StreamRequestHandler, ThreadingUnixStreamServer


class UpperCaseHandler(StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline(65536):
            self.wfile.write(line.upper())


class UpperCaseServer(ThreadingUnixStreamServer):
    socket_mode = 0o600  # for this user alone
    drain_timeout = 1.0  # clients that are still connected then are cut off


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line in capitals, through a Unix socket.")
    parser.add_argument("--path", default="stream.sock", help="the socket file (default: %(default)s)")
    path = parser.parse_args().path
    # The file stays when the server ends, and is replaced when it starts again.
    with UpperCaseServer(path, UpperCaseHandler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening at", server.server_address, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
