"""A handler that tells what TLS has agreed on, and what reads that."""

from __future__ import annotations

import json
import ssl
from typing import Any

from doorkeep import StreamRequestHandler

# What a client is told that the server does not know; under TLS 1.3 with the first byte that it reads.
UNKNOWN_CLIENT = r"alert|reset|Broken pipe"


class Tells(StreamRequestHandler):
    """Answers what the handshake has agreed on."""

    def handle(self) -> None:
        tls = self.tls
        names = tls and tls.peer_certificate and tls.peer_certificate["subjectAltName"]
        self.wfile.write(json.dumps(tls and [tls.version, tls.cipher, tls.server_name, tls.protocol, names]).encode())


def read_all(client: ssl.SSLSocket) -> bytes:
    """Return what comes until close_notify: its lack is an error."""
    with client:
        received = b""
        while some := client.recv(4096):
            received += some
        return received


def told(client: ssl.SSLSocket) -> Any:
    return json.loads(read_all(client))
