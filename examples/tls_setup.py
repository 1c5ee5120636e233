"""TLS by a handler of one's own: `setup()` shakes hands before it opens `rfile` and `wfile`.

python examples/tls_setup.py --certificate server.pem --key server.key
openssl s_client -quiet -connect 127.0.0.1:9999

With `start_tls()` a handler may as well begin in plain text and go over to TLS later, as after a STARTTLS
command. Where all is TLS from the first byte, settings do it: see tls_settings.py.
"""

from __future__ import annotations

import argparse
import signal
import ssl
from contextlib import suppress

from doorkeep import StreamRequestHandler, ThreadingTCPServer


class UpperCaseHandler(StreamRequestHandler):
    timeout = 10.0  # seconds that a client may take for its handshake, and to its next line

    def setup(self) -> None:
        super().setup()
        try:
            # In this client's own thread: whoever connects and says nothing delays nobody else.
            self.start_tls(self.server.context)
        except OSError as error:
            # The client's fault: like any that hangs up, it is no more to the server than a line at level DEBUG.
            raise ConnectionAbortedError(f"no TLS: {error}") from error

    def handle(self) -> None:
        with suppress(TimeoutError):
            while line := self.rfile.readline(65536):
                self.wfile.write(line.upper())


class UpperCaseServer(ThreadingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 1.0  # clients that are still connected then are cut off
    context: ssl.SSLContext


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer each line in capitals, over TLS.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--certificate", required=True, help="a PEM file with the certificate and its chain")
    parser.add_argument("--key", help="a PEM file with the private key, if it is not beside the certificate")
    arguments = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.certificate, arguments.key)
    with UpperCaseServer(("127.0.0.1", arguments.port), UpperCaseHandler) as server:
        server.context = context
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
