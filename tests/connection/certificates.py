"""Certificates for a test, and clients that know them."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import trustme

NAME = "localhost"


class Certificates:
    """Files in a folder: `authority`, `certificate` with its `key`, `both` in one, and one of the `client`."""

    def __init__(self, folder: Path) -> None:
        import trustme

        self.folder = folder
        self._authority = trustme.CA()
        self.authority = str(folder / "authority.pem")
        self._authority.cert_pem.write_to_path(self.authority)
        self.certificate, self.key = self.issue("server", NAME)
        self.both = self.one_file("both", self._authority.issue_cert(NAME))
        self.client = self.one_file("client", self._authority.issue_cert("ann@example.org"))
        self.stranger = self.one_file("stranger", trustme.CA().issue_cert("eve@example.org"))

    def issue(self, name: str, identity: str) -> tuple[str, str]:
        """Write a new certificate and its key into two files named so, and return their paths."""
        leaf = self._authority.issue_cert(identity)
        certificate, key = str(self.folder / f"{name}.crt"), str(self.folder / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
        return certificate, key

    def one_file(self, name: str, leaf: trustme.LeafCert) -> str:
        """Write a certificate and its key into one file named so, and return its path."""
        path = str(self.folder / f"{name}.pem")
        leaf.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def server_context(self, alpn: Sequence[str] = (), ask_client: bool = False) -> ssl.SSLContext:
        """Return a context as a program makes it for its server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.both)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if ask_client:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, certificate: str | None = None, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """Return a context that trusts the authority; `certificate` is a file of the client's own."""
        context = ssl.create_default_context(cafile=self.authority)
        if certificate is not None:
            context.load_cert_chain(certificate)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def connect(
        self, address: Any, context: ssl.SSLContext | None = None, server_name: str | None = NAME
    ) -> ssl.SSLSocket:
        """Return a client whose handshake is over; to it an end without close_notify is an error."""
        context = context or self.client_context()
        if server_name is None:
            context.check_hostname = False
        client = socket.create_connection(address, timeout=30)
        try:
            return context.wrap_socket(client, server_hostname=server_name, suppress_ragged_eofs=False)
        except BaseException:
            client.close()
            raise


def replace(path: str, other: str) -> None:
    """Put the content of another file in the place of one, as those who renew certificates do."""
    fresh = f"{path}.fresh"
    Path(fresh).write_bytes(Path(other).read_bytes())
    os.replace(fresh, path)
