"""Connections as handlers under asyncio have them: a reader and a writer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from doorkeep.concurrency.encryption import Encryption

__all__ = ["EncryptedSocket", "Streams"]


class EncryptedSocket(socket.socket):
    """A connection that is to be encrypted with `context`, which happens above the socket."""

    context: ssl.SSLContext

    @classmethod
    def of(cls, accepted: socket.socket, context: ssl.SSLContext) -> EncryptedSocket:
        """Return the connection as one; `accepted` itself is used up."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        connection = cls(family, kind, protocol, accepted.detach())
        connection.context = context
        return connection


class Streams:
    """The `reader` and the `writer` of a connection.

    Has a descriptor of its own: the server asks the kernel about the connection when asyncio has closed it already.
    `limit` is that of `asyncio.StreamReader`, None for asyncio's default.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _transport: asyncio.Transport | None = None
    _protocol: _ReaderProtocol

    def __init__(self, connection: socket.socket, limit: int | None = None) -> None:
        connection.setblocking(False)
        descriptor = os.dup(connection.fileno())
        self._connection = socket.socket(connection.family, connection.type, connection.proto, descriptor)
        self._options: dict[str, Any] = {} if limit is None else {"limit": limit}
        self._activity = _Activity()
        self._unsent = 0

    async def open(self, context: ssl.SSLContext | None) -> None:
        """Begin to read, after the TLS handshake if there is a context. Raises `OSError` if that fails."""
        loop = asyncio.get_running_loop()
        protocol = self._make_reader()
        encryption = None if context is None else _encrypt(context, protocol)
        self._transport, _ = await loop.connect_accepted_socket(lambda: encryption or protocol, self._connection)
        self._make_writer(encryption or self._transport, protocol)
        if encryption is not None:
            await encryption.established

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on under TLS, with another `reader` and `writer`. Raises `OSError` if the handshake fails."""
        import ssl

        from doorkeep.connection.tls import note_server_names

        note_server_names(context)
        await self.writer.drain()
        if _has_bytes(self.reader):
            raise ssl.SSLError("the client sent bytes ahead of its TLS handshake")
        assert self._transport is not None
        # Its end would close the connection.
        self._plain_writer = self.writer
        protocol = self._make_reader()
        encryption = _encrypt(context, protocol)
        encryption.connection_made(self._transport)
        self._transport.set_protocol(encryption)
        self._make_writer(encryption, protocol)
        await encryption.established

    async def close(self) -> None:
        """Send what is still to be sent, for as long as that takes, and close."""
        if self._transport is None:
            self._connection.close()
            return
        try:
            self.writer.close()
            with contextlib.suppress(OSError):  # the client was first
                await self.writer.wait_closed()
        finally:
            if not self._protocol.lost:  # else asyncio's transport has none of what it would abort
                self._transport.abort()

    def idle_seconds(self) -> float:
        """Return for how long no byte was read or written, as far as it was seen."""
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent = unsent
            self._activity.note()
        return monotonic() - self._activity.last

    def _make_reader(self) -> _ReaderProtocol:
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(loop=loop, **self._options)
        self._protocol = _ReaderProtocol(self.reader, self._activity, loop)
        return self._protocol

    def _make_writer(self, transport: asyncio.Transport, protocol: _ReaderProtocol) -> None:
        self.writer = _Writer(transport, protocol, self.reader, self._activity)


class _Activity:
    """When bytes were last on their way."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.note()

    def note(self) -> None:
        self.last = monotonic()


class _ReaderProtocol(asyncio.StreamReaderProtocol):
    """What feeds the reader."""

    lost = False

    def __init__(self, reader: asyncio.StreamReader, activity: _Activity, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self._activity = activity

    def data_received(self, data: bytes) -> None:
        self._activity.note()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        super().connection_lost(exc)


class _Writer(asyncio.StreamWriter):
    """A writer that notes when it is used.

    When the connection has gone, `drain` says so; for `write` uvloop and asyncio have different complaints.
    """

    def __init__(
        self, transport: asyncio.Transport, protocol: Any, reader: asyncio.StreamReader, activity: _Activity
    ) -> None:
        super().__init__(transport, protocol, reader, asyncio.get_running_loop())
        self._activity = activity

    def write(self, data: Any) -> None:
        self._activity.note()
        if not self.transport.is_closing():
            super().write(data)

    def writelines(self, data: Any) -> None:
        self._activity.note()
        if not self.transport.is_closing():
            super().writelines(data)


def _encrypt(context: ssl.SSLContext, protocol: asyncio.Protocol) -> Encryption:
    from doorkeep.concurrency.encryption import Encryption

    return Encryption(context, protocol)


def _has_bytes(reader: asyncio.StreamReader) -> bool:
    """Return whether bytes have come that nobody has read. Takes one of them."""
    reading = reader.read(1)
    try:
        reading.send(None)
    except StopIteration as ended:
        return bool(ended.value)
    reading.close()  # it would have to wait
    return False
