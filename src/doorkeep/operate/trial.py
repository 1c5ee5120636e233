"""Serving a handler class for a trial, as `test` of the standard `http.server` does."""

from __future__ import annotations

import socket
import sys
from typing import Any

from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer

__all__ = ["PORT", "announce", "best_family", "say_goodbye", "serve_until_interrupted"]

PORT = 8000


def serve_until_interrupted(
    HandlerClass: Any = BaseHTTPRequestHandler,
    ServerClass: Any = ThreadingHTTPServer,
    protocol: str = "HTTP/1.0",
    port: int = PORT,
    bind: str | None = None,
    tls_cert: Any = None,
    tls_key: Any = None,
    tls_password: Any = None,
) -> None:
    """Serve a handler class until Ctrl-C, which ends the program with status 0.

    Sets `address_family` and `protocol_version` of the classes. `bind` is a host, None for every address. With
    `tls_cert` the server class must take `certfile`, `keyfile` and `password`, as `ThreadingHTTPSServer` does.
    """
    ServerClass.address_family, address = best_family(bind, port)
    HandlerClass.protocol_version = protocol
    tls = {"certfile": tls_cert, "keyfile": tls_key, "password": tls_password} if tls_cert else {}
    with ServerClass(address, HandlerClass, **tls) as server:
        try:
            announce(server, encrypted=bool(tls_cert))
            server.serve_forever()
        except KeyboardInterrupt:
            say_goodbye()
            sys.exit(0)


def best_family(host: str | None, port: int | str) -> tuple[socket.AddressFamily, Any]:
    """Return the address family of a host, None for every address, and the address to bind to.

    Raises `OSError` if the host is not known.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, address


def announce(server: Any, *, encrypted: bool) -> None:
    """Print where a server listens."""
    host, port = server.socket.getsockname()[:2]
    scheme = "HTTPS" if encrypted else "HTTP"
    authority = f"[{host}]" if ":" in host else host
    print(f"Serving {scheme} on {host} port {port} ({scheme.lower()}://{authority}:{port}/) ...", flush=True)


def say_goodbye() -> None:
    """Print that Ctrl-C has ended the server."""
    print("\nKeyboard interrupt received, exiting.", flush=True)
