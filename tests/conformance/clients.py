"""Clients of connections, plain and encrypted, that can do what peers do: dribble, end one direction, vanish."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Callable
from typing import Any

from tests.connection.certificates import NAME

__all__ = ["Client", "TLSClient"]

CHUNK = 65536
TIMEOUT = 30.0

_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_forking = threading.Lock()


def _close_inherited() -> None:
    for sock in _sockets:
        sock.close()
    _forking.release()


# Elsewhere clients are other processes: a child of the server that held them open would keep them from ending. While
# the lock is held no child begins: one has to know all clients, and to find the locks of OpenSSL free.
os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_close_inherited)


class Client:
    """A plain client; each of its calls waits for 30 seconds at the most.

    With `segment`, what it sends leaves in pieces of so many bytes; `receive_buffer` is SO_RCVBUF (socket(7)).
    """

    def __init__(
        self, family: int, address: Any, segment: int | None = None, receive_buffer: int | None = None
    ) -> None:
        with _forking:
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            _sockets.add(self.socket)
        self._segment = segment
        self.socket.settimeout(TIMEOUT)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.socket.connect(address)
        except BaseException:
            self.close()
            raise
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._transmit(data)

    def receive(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer only where the server has ended."""
        received = bytearray()
        while len(received) < size and (some := self._receive_some(size - len(received))):
            received += some
        return bytes(received)

    def receive_all(self) -> bytes:
        """Return what comes until the server ends in order."""
        received = bytearray()
        while some := self._receive_some(CHUNK):
            received += some
        return bytes(received)

    def receive_until_gone(self) -> bytes:
        """Return what comes until the server has ended, in whatever manner."""
        received = bytearray()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while some := self._receive_some(CHUNK):
                received += some
        return bytes(received)

    def end_sending(self) -> None:
        """Tell the server that no more will come, and go on receiving."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Be gone, in order if nothing is left unread."""
        with _forking:
            self.socket.close()

    def vanish(self) -> None:
        """Be gone with a reset, where the transport has such a thing: socket(7), SO_LINGER."""
        with contextlib.suppress(OSError):  # a Unix socket has none
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def _transmit(self, data: bytes) -> None:
        step = self._segment or max(len(data), 1)
        for start in range(0, len(data), step):
            self.socket.sendall(data[start : start + step])

    def _receive_some(self, size: int) -> bytes:
        return self.socket.recv(size)


class TLSClient(Client):
    """An encrypted client. An end of the server without close_notify is an `ssl.SSLEOFError` to it.

    Its handshake comes with the first byte. Unlike an `ssl.SSLSocket` it can end one direction.
    """

    def __init__(self, context: ssl.SSLContext, *address: Any, **options: Any) -> None:
        super().__init__(*address, **options)
        self._encrypt(context)

    @classmethod
    def over(cls, plain: Client, context: ssl.SSLContext) -> TLSClient:
        """Return a client that goes on with the connection of a plain one."""
        client = cls.__new__(cls)
        client.__dict__.update(plain.__dict__)
        client._encrypt(context)
        return client

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with _forking:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=NAME)

    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._complete(self._tls.write, rest) :]
        self._flush()

    def end_sending(self) -> None:
        self._complete(self._tls.do_handshake)
        with _forking, contextlib.suppress(ssl.SSLWantReadError):  # the server's close_notify is still to come
            self._tls.unwrap()
        self._flush()

    def _receive_some(self, size: int) -> bytes:
        try:
            return bytes(self._complete(self._tls.read, size))
        except ssl.SSLZeroReturnError:  # where both have said goodbye
            return b""

    def _complete(self, call: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            try:
                with _forking:
                    return call(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                if some := self.socket.recv(CHUNK):
                    self._incoming.write(some)
                else:
                    self._incoming.write_eof()

    def _flush(self) -> None:
        self._transmit(self._outgoing.read())
