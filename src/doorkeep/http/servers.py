"""The servers of HTTP."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from doorkeep.addresses import AF_UNIX
from doorkeep.concurrency.forks import ForkingMixIn
from doorkeep.concurrency.pools import ThreadPoolMixIn
from doorkeep.concurrency.threads import ThreadingMixIn
from doorkeep.connection.deadlines import cut, end_input, tell_passed
from doorkeep.connection.registry import Connection
from doorkeep.http.exchanges import LATE
from doorkeep.http.lingering import LINGER
from doorkeep.http.pace import taking_deadline
from doorkeep.http.settings import HTTPSettings
from doorkeep.listeners import TCPServer

__all__ = ["HTTPSServer", "HTTPServer", "ThreadPoolHTTPServer", "ThreadingHTTPSServer", "ThreadingHTTPServer"]

_LOOPBACK = ("127.0.0.1", "::1")


class HTTPServer(HTTPSettings, TCPServer):
    """Serves HTTP: a `TCPServer` whose handlers are `BaseHTTPRequestHandler`s.

    `server_name` and `server_port` tell where, for handlers that build addresses. The name is found without asking
    the DNS: the machine's own where the server listens on every address, else the address.
    """

    allow_reuse_address = True

    server_name: str
    server_port: int

    def server_bind(self) -> None:
        """Bind the socket, and note the server's name and port."""
        super().server_bind()
        if self.address_family == AF_UNIX:
            self.server_name, self.server_port = "localhost", 0
            return
        host, self.server_port = self.server_address[:2]
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname()
        self.server_name = "localhost" if host in _LOOPBACK else host

    # -- Waiting for clients -------------------------------------------------------------------------------------

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        self._keeps_connections = True
        super().serve_forever(poll_interval)

    def _end_conversations(self) -> None:
        """Also end the connections that wait for another request."""
        self._keeps_connections = False  # first, for those that are about to wait
        super()._end_conversations()
        for connection in self._requests_in_progress:
            if connection.waits_for == "keep_alive_timeout" and self._is_to_end(connection.task):
                end_input(connection())

    def _time_is_up(self, connection: Connection, request: Any, setting: str) -> float:
        """Have a request that has begun to come be answered by its handler; where that is held up, cut it."""
        if setting in ("head_timeout", "keep_alive_timeout"):
            connection.waits_for, connection.waits_until = LATE, time.monotonic() + LINGER
            tell_passed(self, connection, setting)
            end_input(request)
            return connection.waits_until
        if setting == LATE:
            cut(request)
            return math.inf
        return super()._time_is_up(connection, request, setting)

    def _further_deadlines(self, connection: Connection, request: Any, now: float) -> Iterator[tuple[float, str]]:
        yield connection.waits_until, connection.waits_for
        rate = self.min_body_rate
        if rate is not None:
            yield taking_deadline(connection, request, rate, now), "min_body_rate"
        if self._shortest_wait < math.inf:
            yield now + self._shortest_wait, ""


class ThreadingHTTPServer(ThreadingMixIn, HTTPServer):
    """Serves HTTP, each connection in a thread."""

    daemon_threads = True


class ThreadPoolHTTPServer(ThreadPoolMixIn, HTTPServer):
    """Serves HTTP, connections in a bounded number of threads."""

    daemon_threads = True


class ForkingHTTPServer(ForkingMixIn, HTTPServer):
    """Serves HTTP, each connection in a child process."""


class HTTPSServer(HTTPServer):
    """Serves HTTP over TLS.

    `certfile` and `keyfile` are PEM files, the certificate's chain and its private key (None: it is beside the
    certificate); `password` opens the key. `alpn_protocols` are offered by ALPN, by default `["http/1.1"]`.
    """

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Callable[..., Any],
        bind_and_activate: bool = True,
        *,
        certfile: Any,
        keyfile: Any = None,
        password: Any = None,
        alpn_protocols: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        try:
            import ssl
        except ImportError:
            raise RuntimeError("HTTPS needs the module ssl, which this Python does not have") from None
        self.ssl = ssl
        self.certfile = certfile
        self.keyfile = keyfile
        self.password = password
        self.alpn_protocols = ["http/1.1"] if alpn_protocols is None else alpn_protocols
        super().__init__(server_address, RequestHandlerClass, bind_and_activate, **settings)

    def server_activate(self) -> None:
        """Listen, for TLS."""
        super().server_activate()
        self.socket = self._create_context().wrap_socket(self.socket, server_side=True)

    def _create_context(self) -> Any:
        """Return the `ssl.SSLContext` to serve with."""
        context = self.ssl.create_default_context(self.ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certfile, self.keyfile, self.password)
        context.set_alpn_protocols(list(self.alpn_protocols))
        # Handlers never hear of such an end, and can still answer, as after the end of a plain connection.
        context.options |= getattr(self.ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        return context


class ThreadingHTTPSServer(ThreadingMixIn, HTTPSServer):
    """Serves HTTP over TLS, each connection in a thread."""

    daemon_threads = True
