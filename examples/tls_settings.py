"""TLS by settings: the handler is as it was without.

python examples/tls_settings.py --certificate server.pem --key server.key
openssl s_client -quiet -connect 127.0.0.1:9999
"""

from __future__ import annotations

import argparse
import signal

from doorkeep import StreamRequestHandler, ThreadingTCPServer


class UpperCaseHandler(StreamRequestHandler):
    def handle(self) -> None:
        if self.tls is not None:
            self.wfile.write(f"Welcome, by {self.tls.version}\n".encode())
        while line := self.rfile.readline(65536):
            self.wfile.write(line.upper())


class UpperCaseServer(ThreadingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 1.0  # clients that are still connected then are cut off
    handshake_timeout = 10.0
    idle_timeout = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line in capitals, over TLS.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--certificate", required=True, help="a PEM file with the certificate and its chain")
    parser.add_argument("--key", help="a PEM file with the private key, if it is not beside the certificate")
    arguments = parser.parse_args()
    files = {
        # Read again when they have changed, so that a renewed certificate needs no restart.
        "tls_certificate": arguments.certificate,
        "tls_key": arguments.key,
    }
    with UpperCaseServer(("127.0.0.1", arguments.port), UpperCaseHandler, **files) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
