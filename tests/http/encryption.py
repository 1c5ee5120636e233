"""What servers need for TLS, and what clients that trust them."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

__all__ = ["encrypted"]


def encrypted(folder: Path) -> tuple[str, ssl.SSLContext]:
    """Return the file of a certificate for localhost, and a context for clients."""
    path = folder / "server.pem"
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return str(path), context
