"""What there is with TLS alone: what it tells, who does not speak it, and going over to it."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from tests.conformance.clients import TLSClient
from tests.conformance.handlers import Agreed, StartsTLS, Upper
from tests.conformance.service import Start
from tests.conformance.targets import Need, streams
from tests.connection.certificates import NAME, Certificates


@streams(Need.ENCRYPTED)
class TestWhatWasAgreed:
    def test_is_told(self, start: Start) -> None:
        assert start(Agreed).connect().receive_all() == repr(("TLSv1.3", NAME, None)).encode()

    def test_has_the_clients_certificate(self, start: Start, certificates: Certificates) -> None:
        service = start(Agreed, ssl_context=certificates.server_context(ask_client=True))
        client = service.connect(certificates.client_context(certificates.client))
        names = (("email", "ann@example.org"),)
        assert client.receive_all() == repr(("TLSv1.3", NAME, names)).encode()

    def test_keeps_out_who_has_no_certificate(self, start: Start, certificates: Certificates) -> None:
        service = start(Agreed, ssl_context=certificates.server_context(ask_client=True))
        assert service.connect().receive_until_gone() == b""

    def test_has_the_version_that_both_know(self, start: Start, certificates: Certificates) -> None:
        service = start(Agreed)
        context = certificates.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert service.connect(context).receive_all() == repr(("TLSv1.2", NAME, None)).encode()


@streams(Need.PLAIN)
def test_nothing_is_agreed_without_tls(start: Start) -> None:
    assert start(Agreed).connect().receive_all() == b"None"


@pytest.mark.parametrize("data", [b"hello\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 1000, b""])
@streams(Need.ENCRYPTED)
def test_a_client_that_speaks_no_tls_is_turned_away(start: Start, logged: list[str], data: bytes) -> None:
    service = start(Upper)
    plain = service.connect_plain()
    with contextlib.suppress(OSError):  # turned away already
        plain.send(data)
        plain.end_sending()
    answer = plain.receive_until_gone()
    assert answer == b"" or answer[0] == 21  # an alert: RFC 8446 section 5.1
    assert service.exchange(b"next\n") == b"NEXT\n"
    assert logged == []


@streams(Need.ENCRYPTED)
def test_a_version_before_ours_is_turned_away(start: Start, certificates: Certificates) -> None:
    context = certificates.server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    service = start(Upper, ssl_context=context)
    old = certificates.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    client = service.connect(old)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.send(b"hello\n")
    assert service.exchange(b"next\n") == b"NEXT\n"


@streams(Need.PLAIN)
def test_a_conversation_goes_over_to_tls(start: Start, certificates: Certificates) -> None:
    service = start(StartsTLS)
    service.server.context = certificates.server_context()
    plain = service.connect()
    plain.send(b"starttls\n")
    assert plain.receive(9) == b"STARTTLS\n"
    client = TLSClient.over(plain, certificates.client_context())
    for line in (b"hello\n", b"world\n"):
        client.send(line)
        assert client.receive(6) == line.upper()
    client.end_sending()
    assert client.receive_all() == b""
