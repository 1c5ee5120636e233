"""Connections to other servers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from doorkeep.green.hub import current_hub
from doorkeep.green.offloading import offload
from doorkeep.green.sleeping import pauses, sleep
from doorkeep.green.sockets import GreenSocket, green
from doorkeep.green.timeouts import limited
from doorkeep.green.timeouts import timeout as time_limit

if TYPE_CHECKING:
    import ssl

__all__ = ["connect"]


def connect(
    address: Any,
    timeout: float | None = None,
    *,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
) -> socket.socket:
    """Return a connection to `(host, port)`, or to the Unix socket at a path; a green one in a hub.

    A host's addresses are tried one after another. `timeout` is how many seconds each attempt, the TLS handshake
    and later each call of the connection may wait; None: the default of `socket.setdefaulttimeout`.

    With an `ssl_context` the connection is encrypted. `server_hostname` is whom its certificate must name, by
    default the host.

    Raises `OSError`: that of the last attempt, `socket.gaierror` for an unknown name, `TimeoutError` or
    `ssl.SSLError`; `ValueError` for a `server_hostname` without TLS. In a thread, the time that it takes to look
    up a name is not limited.
    """
    if server_hostname is not None and ssl_context is None:
        raise ValueError("server_hostname needs an ssl_context")
    if timeout is None:
        timeout = socket.getdefaulttimeout()
    if isinstance(address, (str, bytes, os.PathLike)):
        connection = _connect_to_path(os.fspath(address), timeout)
    else:
        host, port = address[:2]
        server_hostname = server_hostname or host
        connection = _connect_to_host(host, port, timeout)
    if ssl_context is None:
        return connection
    return _encrypted(connection, timeout, ssl_context, server_hostname)


def _connect_to_host(host: Any, port: Any, timeout: float | None) -> socket.socket:
    *others, last = _look_up(host, port)
    for candidate in others:
        with suppress(OSError):
            return _connect_to(*candidate, timeout)
    return _connect_to(*last, timeout)


def _look_up(host: Any, port: Any) -> list[tuple[int, int, int, Any]]:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    except socket.gaierror:  # a name, which others must be asked for
        found = offload(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    return [(family, kind, proto, place) for family, kind, proto, _, place in found]


def _connect_to(family: int, kind: int, proto: int, place: Any, timeout: float | None) -> socket.socket:
    connection = (socket.socket if current_hub() is None else GreenSocket)(family, kind, proto)
    with _closed_on_failure(connection), _limit_of(connection, timeout):
        connection.connect(place)
    return connection


def _connect_to_path(path: str | bytes, timeout: float | None) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _closed_on_failure(connection), time_limit(timeout):
        connection.setblocking(False)
        # While the server's backlog is full, the kernel tells nobody when there is room: connect(2), EAGAIN.
        for pause in pauses():
            if _is_connected(connection, path):
                break
            sleep(pause)
        connection.settimeout(timeout)
    hub = current_hub()
    return connection if hub is None else green(hub, connection)


def _is_connected(connection: socket.socket, path: str | bytes) -> bool:
    try:
        connection.connect(path)
    except BlockingIOError:
        return False
    return True


def _encrypted(
    connection: socket.socket, timeout: float | None, context: ssl.SSLContext, server_hostname: str | None
) -> socket.socket:
    with _closed_on_failure(connection):
        encrypted = context.wrap_socket(connection, server_hostname=server_hostname, do_handshake_on_connect=False)
    with _closed_on_failure(encrypted):
        hub = current_hub()
        if hub is not None:
            green(hub, encrypted)
        with _limit_of(encrypted, timeout):
            encrypted.do_handshake()
    return encrypted


@contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextmanager
def _limit_of(connection: socket.socket, timeout: float | None) -> Iterator[None]:
    """Have calls of a connection end in time: after `timeout`, or when the time of a block around is up."""
    seconds, signal = limited(timeout)
    connection.settimeout(seconds)
    try:
        yield
    except TimeoutError:
        if signal is None:
            raise
        raise signal from None
    connection.settimeout(timeout)
