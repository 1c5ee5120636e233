"""TLS: contexts from certificate files, and handshakes that happen where the handler runs."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from doorkeep.errors import SettingError
from doorkeep.events import CertificateReloaded, CertificateReloadFailed

_INTERNET = {socket.AF_INET, socket.AF_INET6}
# How long a goodbye waits for a peer that does not read.
_GOODBYE_SECONDS = 1.0

if TYPE_CHECKING:
    from doorkeep.server import BaseServer

__all__ = ["CertificateFiles", "TLSInfo", "say_goodbye", "server_context", "tls_info", "wrap"]


@dataclass(frozen=True)
class TLSInfo:
    """What the handshake of a connection agreed on.

    `server_name` is the name that the client asked for (SNI, RFC 6066 section 3), `protocol` the one chosen by
    ALPN (RFC 7301), `peer_certificate` the client's verified certificate as `SSLSocket.getpeercert` gives it;
    each is None where there is none.
    """

    version: str | None
    cipher: str | None
    server_name: str | None
    protocol: str | None
    peer_certificate: dict[str, Any] | None


def tls_info(request: Any) -> TLSInfo | None:
    """Return what was agreed on a connection, or None if it is not encrypted.

    Shakes hands if nobody has yet.
    """
    if not isinstance(request, ssl.SSLSocket):
        return None
    if request.version() is None:
        request.do_handshake()
    cipher = request.cipher()
    certificate = request.getpeercert()
    return TLSInfo(
        version=request.version(),
        cipher=cipher[0] if cipher else None,
        server_name=getattr(request, "server_name", None),
        protocol=request.selected_alpn_protocol(),
        peer_certificate=certificate or None,
    )


def server_context(
    certificate: str, key: str | None = None, client_ca: str | None = None, alpn: Sequence[str] | None = None
) -> ssl.SSLContext:
    """Return a context for servers with the certificate chain in `certificate` and the private key in `key`.

    Without `key`, it is read from `certificate`. With `client_ca`, clients must show a certificate that those
    authorities have signed. `alpn` are the protocols to offer, the preferred one first. Raises `SettingError`
    with a sentence about the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, certificate, key or certificate)
    if client_ca is not None:
        _read(client_ca, "certificate of an authority", b"CERTIFICATE-----")
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise SettingError(f"{client_ca} cannot be used: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    # Handlers never hear of such an end, and can still answer, as after the end of a plain connection.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if alpn:
        try:
            context.set_alpn_protocols(list(alpn))
        except (ssl.SSLError, ValueError):
            raise SettingError("tls_alpn must be names of 1 to 255 ASCII characters") from None
    note_server_names(context)
    return context


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    protected = False

    def passphrase() -> str:  # asks no one: a server may start with nobody there
        nonlocal protected
        protected = True
        return ""

    _read(certificate, "certificate", b"CERTIFICATE-----")
    _read(key, "private key", b"PRIVATE KEY-----")
    try:
        context.load_cert_chain(certificate, key, passphrase)
    except OSError as error:
        if protected:
            sentence = f"the private key in {key} is protected by a passphrase; give one that is not"
        elif getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            sentence = f"the private key in {key} does not belong to the certificate in {certificate}"
        else:
            sentence = f"{certificate} with the private key in {key} cannot be used: {error}"
        raise SettingError(sentence) from None


def _read(path: str, what: str, mark: bytes) -> None:
    """Check that a file is there and holds something in PEM form, as the errors of OpenSSL do not tell which lacks."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error.strerror}") from None
    if mark not in content:
        raise SettingError(f"{path} holds no {what} in PEM form")


def note_server_names(context: ssl.SSLContext) -> None:
    """Let a context keep the name that each client asks for, beside what its own callback does.

    Raises `ValueError` if the context is one for clients.
    """
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("a context for clients cannot serve")
    theirs: Any = context.sni_callback
    if getattr(theirs, "notes_server_names", False):
        return

    def note(request: Any, server_name: str | None, original: ssl.SSLContext) -> int | None:
        request.server_name = server_name
        return theirs(request, server_name, original) if theirs is not None else None

    note.notes_server_names = True  # type: ignore[attr-defined]  # a mark, so that a context is prepared once
    context.sni_callback = note


class CertificateFiles:
    """The context of a server whose certificate lives in files; read again when they have changed."""

    def __init__(self, certificate: str, key: str | None, client_ca: str | None, alpn: Sequence[str] | None) -> None:
        self.settings = (certificate, key, client_ca, alpn)
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._context = server_context(*self.settings)

    def context(self, server: BaseServer) -> ssl.SSLContext:
        """Return the context for the next connection.

        Files that have changed and cannot be used, such as a new certificate whose key is still to come, leave
        the context before them in use, until they change again.
        """
        signature = self._signature()
        if signature == self._seen:
            return self._context
        with self._lock:
            if signature == self._seen:
                return self._context
            self._seen = signature
            certificate = self.settings[0]
            try:
                self._context = server_context(*self.settings)
            except SettingError as error:
                if CertificateReloadFailed.listeners:
                    CertificateReloadFailed(server, certificate, error).emit()
            else:
                if CertificateReloaded.listeners:
                    CertificateReloaded(server, certificate).emit()
            return self._context

    def _signature(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        for path in filter(None, self.settings[:3]):
            try:
                status = os.stat(path)
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def wrap(request: socket.socket, context: ssl.SSLContext, suppress_ragged_eofs: bool = True) -> ssl.SSLSocket:
    """Return the connection under TLS, its handshake still to come; `request` itself is used up.

    Sends and receives nothing. Should no one call `handshake`, it happens with the first byte read or written. Raises
    `ConnectionAbortedError` if the client has gone already.
    """
    try:
        request.getpeername()
        if request.family in _INTERNET:
            # The session tickets that end the handshake (RFC 8446 section 4.6.1) would keep back the first answer until
            # the client acknowledges them, which it may put off for 40 ms (RFC 896, RFC 1122 section 4.2.3.2).
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        return context.wrap_socket(
            request, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=suppress_ragged_eofs
        )
    except OSError as error:
        _close_what_was_made(error)
        raise ConnectionAbortedError(errno.ECONNABORTED, "the client has gone") from error


def _close_what_was_made(error: OSError) -> None:
    """Close the SSLSocket that a failed `wrap_socket` has given the connection to, and left open."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        made = frame.f_locals.get("self")
        if isinstance(made, ssl.SSLSocket):
            made.close()


def say_goodbye(request: ssl.SSLSocket) -> None:
    """Tell the peer that no more will come (close_notify, RFC 8446 section 6.1); does not wait for its answer.

    Waits for a second at the most until there is room to send it.
    """
    due = time.monotonic() + _GOODBYE_SECONDS
    with contextlib.suppress(OSError, ValueError):
        request.settimeout(0)
        while True:
            try:
                ssl.SSLSocket.unwrap(request)  # not that of a green connection, which would wait
            except ssl.SSLWantWriteError:
                _wait_writable(request, due - time.monotonic())
            else:
                return


def _wait_writable(request: Any, seconds: float) -> None:
    """Wait until there is room to send; raises `TimeoutError` when the time is up."""
    if seconds <= 0:
        raise TimeoutError("timed out")
    wait = getattr(request, "wait_writable", None)  # green connections have it
    if wait is not None:
        wait(seconds)
    else:
        with selectors.DefaultSelector() as selector:
            selector.register(request, selectors.EVENT_WRITE)
            selector.select(seconds)
