"""A certificate that nobody vouches for, made for as long as a server runs."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterable
from tempfile import TemporaryDirectory
from typing import Any

from doorkeep.errors import DoorkeepError

__all__ = ["self_signed_context"]

# A certificate rather than a request for one, its key on P-256 and without a passphrase, good for 30 days.
_REQUEST = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")


def self_signed_context(hosts: Iterable[str]) -> tuple[Any, str]:
    """Return an `ssl.SSLContext` with a new certificate for names and addresses, and its SHA-256 fingerprint.

    The program openssl makes it; `DoorkeepError` with a sentence if there is none, or it fails. Nothing stays on the
    disk.
    """
    import ssl

    from doorkeep.connection.tls import server_context

    program = shutil.which("openssl")
    if program is None:
        raise DoorkeepError(
            "--tls-self-signed needs the program openssl, and there is none here: give a certificate by --tls-cert"
        )
    with TemporaryDirectory(prefix="doorkeep-") as folder:
        certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
        names = ",".join(map(_alternative_name, dict.fromkeys(hosts)))
        subject = ("-subj", "/CN=doorkeep", "-addext", f"subjectAltName={names}")
        made = subprocess.run(
            [program, "req", *_REQUEST, *subject, "-out", certificate, "-keyout", key],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode != 0:
            said = made.stderr.strip().splitlines() or ["nothing"]
            raise DoorkeepError(f"openssl could not make a certificate; it said: {said[-1]}")
        context = server_context(certificate, key, alpn=["http/1.1"])
        with open(certificate, encoding="ascii") as file:
            encoded = ssl.PEM_cert_to_DER_cert(file.read())
    return context, hashlib.sha256(encoded).digest().hex(":")


def _alternative_name(host: str) -> str:
    """Return a host as certificates name it (RFC 5280, section 4.2.1.6)."""
    try:
        return f"IP:{ipaddress.ip_address(host.partition('%')[0])}"
    except ValueError:
        return f"DNS:{host}"
