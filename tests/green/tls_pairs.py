"""Two ends of a TLS connection, one of them green."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from doorkeep.green import spawn
from doorkeep.green.sockets import green
from tests.background import Background
from tests.connection.certificates import NAME, Certificates
from tests.connection.pairs import tcp_pair
from tests.green.hubs import the_hub


@contextmanager
def wrapped_pair(certificates: Certificates, pair: Any = tcp_pair) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Yield the server's end of a connection and the client's, plain and without a handshake."""
    with (
        pair() as (accepted, client),
        certificates.server_context().wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        ) as server_end,
        certificates.client_context().wrap_socket(
            client, server_hostname=NAME, do_handshake_on_connect=False
        ) as client_end,
    ):
        yield server_end, client_end


@contextmanager
def green_tls_pair(
    certificates: Certificates, timeout: float | None = 30, pair: Any = tcp_pair
) -> Iterator[tuple[Any, ssl.SSLSocket]]:
    """Yield the server's end of a connection, green, and the client's, plain; the handshake is over."""
    with wrapped_pair(certificates, pair) as (server_end, client_end):
        connection: Any = green(the_hub(), server_end)
        greeting = spawn(connection.do_handshake)
        shaking = Background(client_end.do_handshake)
        greeting.result(30)
        shaking.result()
        connection.settimeout(timeout)
        yield connection, client_end
