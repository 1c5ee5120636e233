"""TLS connections whose calls let other greenlets run while they wait."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from doorkeep.green.core import Channel, Hub
from doorkeep.green.sockets import WaitingSocket

__all__ = ["GreenSSLSocket", "green_tls"]

Result = TypeVar("Result")


class GreenSSLSocket(WaitingSocket, ssl.SSLSocket):  # type: ignore[misc]  # whose recvmsg and sendmsg never return
    """A TLS connection of a hub; what `green_tls` makes of a plain one.

    Who waits in a call when another shuts the connection down meets the end of the stream, as a thread does.
    """

    _channel: Channel
    _sslobj: Any
    suppress_ragged_eofs: bool

    def _perform(self, call: Callable[..., Result], *arguments: Any, sends: bool = False) -> Result:
        """Call what needs bytes of the peer, or room for bytes to it, as often as it takes."""
        channel = self._channel
        channel.spend()
        until = 0.0
        kept = False
        try:
            while True:
                if sends:
                    until = channel.take_turn(until)
                try:
                    return call(self, *arguments)
                except ssl.SSLWantReadError:
                    if channel.timeout == 0:
                        raise
                    until = channel.wait_readable(until)
                except ssl.SSLWantWriteError:
                    if channel.timeout == 0:
                        raise
                    # TLS takes nothing else until it was given the same again: SSL_write(3).
                    kept = channel.keep_turn() or kept
                    until = channel.wait_writable(until)
                if self._sslobj is None:
                    raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the connection was shut down meanwhile")
        finally:
            if kept:
                channel.end_turn()

    def do_handshake(self, block: bool = False) -> None:
        self._perform(ssl.SSLSocket.do_handshake, block)

    def unwrap(self) -> socket.socket:
        return self._perform(ssl.SSLSocket.unwrap, sends=True)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        try:
            return self._perform(ssl.SSLSocket.read, len, buffer)
        except ssl.SSLEOFError:
            if not self.suppress_ragged_eofs:
                raise
            return b"" if buffer is None else 0

    def write(self, data: Any) -> int:
        return self._perform(ssl.SSLSocket.write, data, sends=True)

    # Once TLS has been unwrapped, the connection is a plain one.

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        return super().recv(buflen, flags) if self._sslobj is not None else self._channel.recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        if self._sslobj is not None:
            return super().recv_into(buffer, nbytes, flags)
        return self._channel.recv_into(buffer, nbytes or 0, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        if self._sslobj is not None:
            return self._perform(ssl.SSLSocket.send, data, flags, sends=True)
        return self._channel.send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._sslobj is not None:
            super().sendall(data, flags)
        else:
            self._channel.sendall(data, flags)

    def accept(self) -> tuple[ssl.SSLSocket, Any]:
        """Accept a connection, whose handshake comes with the first byte read or written."""
        descriptor, address = self._when_readable(super()._accept)  # type: ignore[misc]  # of the C base
        accepted = socket.socket(self.family, self.type, self.proto, descriptor)
        wrapped = self.context.wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=self.suppress_ragged_eofs
        )
        return green_tls(self._channel.hub, wrapped), address


def green_tls(hub: Hub, connection: ssl.SSLSocket) -> GreenSSLSocket:
    """Return a TLS connection as one of a hub's: the same object, whatever state its handshake is in."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    connection.__class__ = GreenSSLSocket  # a session cannot be moved to another object
    assert isinstance(connection, GreenSSLSocket)
    connection._channel = Channel(hub, connection)
    connection._channel.timeout = timeout
    return connection
