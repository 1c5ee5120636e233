"""Certificates in files: what is said of those that cannot be used, and of those that change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    TCPServer,
    ThreadingTCPServer,
)
from doorkeep.errors import SettingError
from doorkeep.events import (
    CertificateReloaded,
    CertificateReloadFailed,
)
from doorkeep.testing import Served, events_of
from doorkeep.testing.plugin import Serve
from tests.connection.agreed import UNKNOWN_CLIENT, Tells, read_all, told
from tests.connection.certificates import NAME, Certificates, replace
from tests.sample_handlers import Upper

ADDRESS = ("127.0.0.1", 0)


class TestReload:
    @pytest.fixture
    def served(self, serve: Serve, certificates: Certificates) -> Served[Any]:
        return serve(ThreadingTCPServer, Upper, tls_certificate=certificates.certificate, tls_key=certificates.key)

    @staticmethod
    def shown(served: Served[Any], certificates: Certificates) -> bytes | None:
        """Return the certificate that a new client sees."""
        with certificates.connect(served.address) as client:
            return client.getpeercert(binary_form=True)

    @staticmethod
    def in_file(path: str) -> bytes:
        return ssl.PEM_cert_to_DER_cert(Path(path).read_text())

    def test_new_connections_see_new_files(self, served: Served[Any], certificates: Certificates) -> None:
        with certificates.connect(served.address) as early, events_of(CertificateReloaded) as recorder:
            before = self.in_file(certificates.certificate)
            assert early.getpeercert(binary_form=True) == before
            fresh = certificates.issue("fresh", NAME)
            replace(certificates.key, fresh[1])
            replace(certificates.certificate, fresh[0])
            after = self.in_file(certificates.certificate)
            assert before != after
            assert [self.shown(served, certificates) for _ in range(3)] == [after] * 3
            early.sendall(b"hello\n")
            assert early.recv(6) == b"HELLO\n"
        assert list(recorder) == [CertificateReloaded(served.server, certificates.certificate)]

    def test_a_certificate_whose_key_is_still_to_come_waits_for_it(
        self, served: Served[Any], certificates: Certificates
    ) -> None:
        before = self.in_file(certificates.certificate)
        fresh = certificates.issue("fresh", NAME)
        with events_of(CertificateReloaded, CertificateReloadFailed) as recorder:
            replace(certificates.certificate, fresh[0])
            assert [self.shown(served, certificates) for _ in range(2)] == [before] * 2
            replace(certificates.key, fresh[1])
            assert self.shown(served, certificates) == self.in_file(fresh[0])
        failed, reloaded = recorder
        assert isinstance(failed, CertificateReloadFailed)
        assert failed.path == certificates.certificate
        assert "does not belong to the certificate" in str(failed.error)
        assert isinstance(reloaded, CertificateReloaded)

    def test_files_that_cannot_be_used_leave_those_before_them(
        self, served: Served[Any], certificates: Certificates
    ) -> None:
        before = self.in_file(certificates.certificate)
        saved = certificates.issue("saved", NAME)
        replace(saved[0], certificates.certificate)
        with events_of(CertificateReloaded, CertificateReloadFailed) as recorder:
            Path(certificates.certificate).write_text("no certificate")
            assert self.shown(served, certificates) == before
            os.unlink(certificates.certificate)
            assert self.shown(served, certificates) == before
            replace(certificates.certificate, saved[0])
            assert self.shown(served, certificates) == before
        assert [type(event) for event in recorder] == [
            CertificateReloadFailed,
            CertificateReloadFailed,
            CertificateReloaded,
        ]
        assert [str(event.error) for event in recorder.of(CertificateReloadFailed)] == [
            f"{certificates.certificate} holds no certificate in PEM form",
            f"cannot read {certificates.certificate}: No such file or directory",
        ]

    def test_other_files_may_be_named_while_the_server_runs(
        self, served: Served[Any], certificates: Certificates
    ) -> None:
        self.shown(served, certificates)
        certificate, key = certificates.issue("other", NAME)
        served.server.tls_key = None  # for a moment neither fits: nobody connects then
        served.server.tls_certificate, served.server.tls_key = certificate, key
        assert self.shown(served, certificates) == self.in_file(certificate)

    def test_a_new_authority_of_clients_counts(self, serve: Serve, certificates: Certificates) -> None:
        other = Certificates(_subfolder(certificates.folder))
        served = serve(
            ThreadingTCPServer,
            Tells,
            tls_certificate=certificates.both,
            tls_client_ca=certificates.authority,
        )
        theirs = certificates.client_context(other.client)
        with pytest.raises(OSError, match=UNKNOWN_CLIENT):
            read_all(certificates.connect(served.address, theirs))
        replace(certificates.authority, other.authority)
        assert told(certificates.connect(served.address, theirs))[-1] == [["email", "ann@example.org"]]


def _subfolder(folder: Path) -> Path:
    subfolder = folder / "other"
    subfolder.mkdir()
    return subfolder


class TestSentences:
    """What is said of files that cannot be used; nothing stays open then."""

    @staticmethod
    def refused(**settings: Any) -> str:
        with pytest.raises(SettingError) as caught:
            TCPServer(ADDRESS, BaseRequestHandler, **settings)
        return str(caught.value)

    def test_of_a_file_that_is_not_there(self, certificates: Certificates) -> None:
        missing = str(certificates.folder / "missing.pem")
        sentence = f"cannot read {missing}: No such file or directory"
        assert self.refused(tls_certificate=missing) == sentence
        assert self.refused(tls_certificate=certificates.certificate, tls_key=missing) == sentence
        assert self.refused(tls_certificate=certificates.both, tls_client_ca=missing) == sentence

    def test_of_a_file_that_cannot_be_read(self, certificates: Certificates) -> None:
        """A folder, as the superuser can read any file."""
        folder = str(certificates.folder)
        assert self.refused(tls_certificate=folder) == f"cannot read {folder}: Is a directory"

    def test_of_another_certificates_key(self, certificates: Certificates) -> None:
        _, key = certificates.issue("other", NAME)
        assert self.refused(tls_certificate=certificates.certificate, tls_key=key) == (
            f"the private key in {key} does not belong to the certificate in {certificates.certificate}"
        )

    @pytest.mark.parametrize("form", ["TraditionalOpenSSL", "PKCS8"])
    def test_of_a_key_with_a_passphrase(self, certificates: Certificates, form: str) -> None:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_private_key(Path(certificates.key).read_bytes(), None)
        protected = key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.BestAvailableEncryption(b"secret"),
        )
        Path(certificates.key).write_bytes(protected)
        assert self.refused(tls_certificate=certificates.certificate, tls_key=certificates.key) == (
            f"the private key in {certificates.key} is protected by a passphrase; give one that is not"
        )

    def test_of_a_file_that_lacks_what_it_should_hold(self, certificates: Certificates) -> None:
        empty = certificates.folder / "empty.pem"
        empty.touch()
        certificate, key = certificates.certificate, certificates.key
        assert self.refused(tls_certificate=certificate) == f"{certificate} holds no private key in PEM form"
        assert self.refused(tls_certificate=key) == f"{key} holds no certificate in PEM form"
        assert self.refused(tls_certificate=str(empty)) == f"{empty} holds no certificate in PEM form"
        assert self.refused(tls_certificate=certificate, tls_key=str(empty)) == (
            f"{empty} holds no private key in PEM form"
        )
        assert self.refused(tls_certificate=certificates.both, tls_client_ca=key) == (
            f"{key} holds no certificate of an authority in PEM form"
        )

    def test_of_a_file_that_is_damaged(self, certificates: Certificates) -> None:
        path = Path(certificates.certificate)
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], "damaged", *lines[2:]]))
        sentence = self.refused(tls_certificate=certificates.certificate, tls_key=certificates.key)
        assert sentence.startswith(f"{path} with the private key in {certificates.key} cannot be used: ")
        sentence = self.refused(tls_certificate=certificates.both, tls_client_ca=certificates.certificate)
        assert sentence.startswith(f"{path} cannot be used: ")

    @pytest.mark.parametrize("name", ["", "é", "x" * 256])
    def test_of_protocols_that_have_no_name(self, certificates: Certificates, name: str) -> None:
        sentence = "tls_alpn must be names of 1 to 255 ASCII characters"
        assert self.refused(tls_certificate=certificates.both, tls_alpn=[name]) == sentence
