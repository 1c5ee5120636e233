"""TLS for connections in asyncio's hands."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from doorkeep.connection.tls import TLSInfo

__all__ = ["Encryption", "tls_info_of"]

# How much is decrypted at once; a record of TLS holds no more (RFC 8446 section 5.1).
_RECORD = 16384


class Encryption(asyncio.Transport, asyncio.Protocol):
    """TLS, the server's side: the protocol of a connection's transport, and the transport of its reader's protocol.

    asyncio has one as well, which nobody can ask whether all bytes have left, which waits at the end for the peer's
    goodbye, and which sends no answer any more once the peer has said it.
    """

    _transport: asyncio.Transport

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._protocol = protocol
        # What the program has written and TLS cannot take yet.
        self._unwritten = bytearray()
        self._has_read_all = False
        self._said_goodbye = False
        self._error: Exception | None = None

    # -- As the protocol of the connection -----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._go_on()

    def eof_received(self) -> bool:
        if self.established.done():
            # An end, as in `SSLSocket`. TLS would call it a failure, and refuse to write from then on.
            self._read_all()
        else:
            self._incoming.write_eof()
            self._go_on()
        return True  # the answer may still be on its way

    def connection_lost(self, error: Exception | None) -> None:
        if not self.established.done():
            self.established.set_exception(error or ConnectionResetError("the client left during the TLS handshake"))
        self._protocol.connection_lost(self._error or error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # -- As the transport of the reader and the writer -----------------------------------------------------------

    def write(self, data: Any) -> None:
        self._unwritten += data
        self._go_on()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """Say goodbye (close_notify, RFC 8446 section 6.1) and close once all has left; waits for no answer."""
        if not self._said_goodbye:
            self._said_goodbye = True
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._send()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return len(self._unwritten) + self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the names of asyncio's own TLS transport stand for."""
        of_tls: dict[str, Callable[[], Any]] = {
            "ssl_object": lambda: self._tls,
            "sslcontext": lambda: self._tls.context,
            "peercert": self._tls.getpeercert,
            "cipher": self._tls.cipher,
            "compression": self._tls.compression,
        }
        return of_tls[name]() if name in of_tls else self._transport.get_extra_info(name, default)

    # -- Between the two -----------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Do what the bytes that have come allow: shake hands, encrypt what is to be sent, decrypt what has come."""
        try:
            if not self.established.done():
                self._tls.do_handshake()
                self._protocol.connection_made(self)
                self.established.set_result(None)
            elif self.established.cancelled() or self.established.exception() is not None:
                return
            for step in (self._decrypt, self._encrypt):
                with contextlib.suppress(ssl.SSLWantReadError):  # the one may wait where the other can go on
                    step()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(error)
        self._send()

    def _encrypt(self) -> None:
        while self._unwritten and not self._said_goodbye:
            del self._unwritten[: self._tls.write(self._unwritten)]

    def _decrypt(self) -> None:
        while not self._has_read_all:
            data = self._tls.read(_RECORD)
            if data:
                self._protocol.data_received(data)
            else:
                self._read_all()

    def _read_all(self) -> None:
        if not self._has_read_all:
            self._has_read_all = True
            self._protocol.eof_received()

    def _fail(self, error: ssl.SSLError) -> None:
        if not self.established.done():
            self.established.set_exception(error)
        self._error = error
        self._send()  # the alert
        self._transport.close()

    def _send(self) -> None:
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())


def tls_info_of(tls: ssl.SSLObject) -> TLSInfo:
    """Return what was agreed on a connection whose handshake is over."""
    cipher = tls.cipher()
    return TLSInfo(
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        server_name=getattr(tls, "server_name", None),
        protocol=tls.selected_alpn_protocol(),
        peer_certificate=tls.getpeercert() or None,
    )
