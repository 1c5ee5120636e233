"""What a connection goes through between accept and its handler: today the TLS handshake."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, cast

from doorkeep.errors import SettingError
from doorkeep.events import ConnectionReady, HandshakeFailed
from doorkeep.settings import CONTEXT, PATH, TEXTS, Setting

if TYPE_CHECKING:
    import ssl

    from doorkeep.connection.registry import Connection
    from doorkeep.connection.tls import CertificateFiles
    from doorkeep.server import BaseServer

__all__ = ["TLSSettings", "is_tls", "note_begun", "run_prologue", "tell_handshake_failed"]


class TLSSettings:
    """The settings of TLS: a context of the program's own, or files to make one of."""

    ssl_context: Annotated[
        Any, Setting(CONTEXT, "serve TLS with this context", takes_effect="for new connections", streams_only=True)
    ] = None
    tls_certificate: Annotated[
        str | None,
        Setting(
            PATH,
            "serve TLS with the certificate chain in this PEM file; read again when it changes",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None
    tls_key: Annotated[
        str | None,
        Setting(
            PATH,
            "the PEM file with the certificate's private key; None: it is beside the certificate",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None
    tls_client_ca: Annotated[
        str | None,
        Setting(
            PATH,
            "ask clients for a certificate that an authority in this PEM file has signed",
            at_limit="the handshake fails",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None
    tls_alpn: Annotated[
        tuple[str, ...] | None,
        Setting(
            TEXTS,
            "the protocols offered by ALPN, the preferred one first",
            takes_effect="for new connections",
            streams_only=True,
        ),
    ] = None

    _certificates: CertificateFiles | None = None

    def _tls_context(self) -> ssl.SSLContext | None:
        """Return the context for the next connection, or None for no TLS.

        Raises `SettingError` if the settings contradict each other or name files that cannot be used.
        """
        files = (self.tls_certificate, self.tls_key, self.tls_client_ca, self.tls_alpn)
        if self.ssl_context is not None:
            if any(files):
                raise SettingError("give either ssl_context or tls_certificate, tls_key, tls_client_ca and tls_alpn")
            return self._noting(self.ssl_context)
        certificate = self.tls_certificate
        if certificate is None:
            if any(files):
                raise SettingError("tls_key, tls_client_ca and tls_alpn need tls_certificate")
            return None
        from doorkeep.connection.tls import CertificateFiles

        known = self._certificates
        if known is None or known.settings != (certificate, *files[1:]):
            known = self._certificates = CertificateFiles(certificate, *files[1:])
        return known.context(cast("BaseServer", self))

    def _noting(self, context: ssl.SSLContext) -> ssl.SSLContext:
        from doorkeep.connection.tls import note_server_names

        note_server_names(context)
        return context


def is_tls(request: Any) -> bool:
    """Return whether a request is a TLS connection, without importing `ssl` for it."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(request, ssl.SSLSocket)


def run_prologue(server: BaseServer, request: Any, client_address: Any) -> bool:
    """Lead a connection through its prologue, in the thread of its handler.

    Returns whether the handler may begin. The server's `handshake_timeout` bounds it.
    """
    connection = server._requests_in_progress.get(request)
    if connection is not None:
        connection.task = server._current_task()
    if is_tls(request):
        try:
            request.do_handshake()
        except (OSError, ValueError) as error:  # ValueError: shut down meanwhile
            tell_handshake_failed(server, client_address, error)
            return False
    if connection is not None:
        _note_ready(server, connection)
    return True


def tell_handshake_failed(server: BaseServer, client_address: Any, error: Exception) -> None:
    """Count and tell of a client whose handshake has failed."""
    server._event_counts.add("refused", "handshake")
    if HandshakeFailed.listeners:
        HandshakeFailed(server, client_address, error).emit()


def note_begun(server: BaseServer, request: Any) -> None:
    """Note that a handler begins, for the deadlines of programs that leave the prologue out."""
    connection = server._requests_in_progress.get(request)
    if connection is not None and connection.ready is None:
        _note_ready(server, connection)


def _note_ready(server: BaseServer, connection: Connection) -> None:
    connection.ready = time.monotonic()
    if ConnectionReady.listeners:
        ConnectionReady(server, connection.client_address, connection.ready - connection.started).emit()
