"""TLS over asyncio: the ways to it, what it tells, and how it ends."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import ssl
import struct
import threading
from typing import Any

import pytest

from doorkeep import AsyncTCPServer, AsyncUnixStreamServer, BaseServer, StreamRequestHandler
from doorkeep.events import CertificateReloaded, ConnectionStopped, DeadlinePassed, HandshakeFailed, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.concurrency.async_handlers import Held, Upper
from tests.connection.agreed import UNKNOWN_CLIENT, read_all, told
from tests.connection.certificates import NAME, Certificates, replace
from tests.connection.pairs import receive_exactly

pytestmark = pytest.mark.usefixtures("each_event_loop")

MUCH = 4 * 1024 * 1024


class Tells(StreamRequestHandler):
    """Answers what the handshake has agreed on."""

    async def handle(self) -> None:
        tls = self.tls
        names = tls and tls.peer_certificate and tls.peer_certificate["subjectAltName"]
        self.writer.write(json.dumps(tls and [tls.version, tls.cipher, tls.server_name, tls.protocol, names]).encode())


@pytest.fixture(params=["context", "files", "wrapped"])
def tls(request: pytest.FixtureRequest, certificates: Certificates) -> tuple[type[BaseServer], dict[str, Any]]:
    """Return a server class and the settings with which it serves TLS, in each of the ways to do so."""
    context = certificates.server_context()
    if request.param == "context":
        return AsyncTCPServer, {"ssl_context": context}
    if request.param == "files":
        return AsyncTCPServer, {"tls_certificate": certificates.certificate, "tls_key": certificates.key}

    class Wraps(AsyncTCPServer):
        def server_activate(self) -> None:
            super().server_activate()
            self.socket = context.wrap_socket(self.socket, server_side=True)

    return Wraps, {}


class TestConversation:
    def test_goes_on_under_tls(self, serve: Serve, tls: Any, certificates: Certificates) -> None:
        server_class, settings = tls
        served = serve(server_class, Upper, **settings)
        with certificates.connect(served.address) as client:
            client.sendall(b"hello\nworld\n")
            assert client.makefile("rb").read(12) == b"HELLO\nWORLD\n"
            client.unwrap()

    def test_tells_what_was_agreed(self, serve: Serve, tls: Any, certificates: Certificates) -> None:
        server_class, settings = tls
        client = certificates.connect(serve(server_class, Tells, **settings).address)
        cipher = client.cipher()
        assert cipher is not None
        assert told(client) == ["TLSv1.3", cipher[0], NAME, None, None]

    def test_tells_of_the_client_and_the_protocol(self, serve: Serve, certificates: Certificates) -> None:
        context = certificates.server_context(alpn=["two", "one"], ask_client=True)
        served = serve(AsyncTCPServer, Tells, ssl_context=context)
        wanted = certificates.client_context(certificates.client, alpn=["one", "two"])
        assert told(certificates.connect(served.address, wanted))[3:] == ["two", [["email", "ann@example.org"]]]

    def test_without_it_tells_none(self, serve: Serve) -> None:
        assert serve(AsyncTCPServer, Tells).exchange(b"") == b"null"

    def test_over_a_unix_socket(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncUnixStreamServer, Upper, tls_certificate=certificates.both, idle_timeout=60)
        with certificates.client_context().wrap_socket(served.client, server_hostname=NAME) as client:
            client.sendall(b"hello\n")
            assert client.recv(6) == b"HELLO\n"

    def test_in_tls_1_2(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncTCPServer, Upper, tls_certificate=certificates.both)
        context = certificates.client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with certificates.connect(served.address, context) as client:
            client.sendall(b"hello\n")
            assert client.recv(6) == b"HELLO\n"

    def test_carries_much_both_ways(self, serve: Serve, certificates: Certificates) -> None:
        class Echo(StreamRequestHandler):
            async def handle(self) -> None:
                while piece := await self.reader.read(65536):
                    self.writer.write(piece)
                    await self.writer.drain()

        served = serve(AsyncTCPServer, Echo, tls_certificate=certificates.both)
        with certificates.connect(served.address) as client:
            for _ in range(MUCH // 65536):
                client.sendall(bytes(65536))
                assert receive_exactly(client, 65536) == bytes(65536)

    def test_sends_all_and_a_goodbye_to_a_client_that_reads_late(
        self, serve: Serve, certificates: Certificates
    ) -> None:
        class Much(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(bytes(MUCH))
                ended.set()

        ended = threading.Event()
        client = certificates.connect(serve(AsyncTCPServer, Much, tls_certificate=certificates.both).address)
        assert ended.wait(30)
        assert len(read_all(client)) == MUCH

    def test_waits_for_no_goodbye_of_the_client(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncTCPServer, Tells, tls_certificate=certificates.both)
        with events_of(ConnectionStopped) as events, certificates.connect(served.address) as client:
            assert client.recv(1)
            events.wait_for(ConnectionStopped)

    def test_answers_after_the_goodbye_of_the_client(self, serve: Serve, certificates: Certificates) -> None:
        """A stream ends in each direction on its own (RFC 8446 section 6.1)."""
        served = serve(AsyncTCPServer, Held, tls_certificate=certificates.both)
        plain = socket.create_connection(served.address, timeout=30)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)

        def perform(call: Any) -> Any:
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(65536))

        with plain:
            perform(client.do_handshake)
            plain.sendall(outgoing.read())
            assert perform(lambda: client.read(3)) == b"in\n"
            with contextlib.suppress(ssl.SSLWantReadError):
                client.unwrap()
            plain.sendall(outgoing.read())
            answer = b""
            while some := plain.recv(65536):
                answer += some
        # "out\n" and the goodbye, encrypted: records of application data (23).
        assert kinds_of_records(answer) == [23, 23]

    def test_goes_on_when_the_client_ends_without_a_goodbye(self, serve: Serve, certificates: Certificates) -> None:
        """As it does in other servers: many clients leave so."""
        with events_of(RequestFailed, ConnectionStopped) as events:
            served = serve(AsyncTCPServer, Held, tls_certificate=certificates.both)
            with certificates.connect(served.address) as client:
                assert client.recv(3) == b"in\n"
                socket.socket.shutdown(client, socket.SHUT_WR)
                assert client.recv(4) == b"out\n"
                events.wait_for(ConnectionStopped)
        assert events.of(RequestFailed) == []

    def test_of_a_client_that_resets_is_no_failure(
        self, serve: Serve, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        with events_of(RequestFailed, ConnectionStopped) as events:
            served = serve(AsyncTCPServer, Held, tls_certificate=certificates.both)
            with certificates.connect(served.address) as client:
                assert client.recv(3) == b"in\n"
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            events.wait_for(ConnectionStopped)
        assert events.of(RequestFailed) == []
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_drains(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncTCPServer, Held, tls_certificate=certificates.both)
        with certificates.connect(served.address) as client:
            assert client.recv(3) == b"in\n"
            assert Background(served.server.drain, 0).result() == 1
            with contextlib.suppress(OSError):
                assert client.recv(4) == b""

    def test_goes_on_with_a_renewed_certificate(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncTCPServer, Tells, tls_certificate=certificates.both)
        with events_of(CertificateReloaded) as events:
            assert told(certificates.connect(served.address))
            replace(certificates.both, certificates.one_file("new", certificates._authority.issue_cert(NAME)))
            assert told(certificates.connect(served.address))
        assert len(events) == 1

    def test_of_a_client_that_sends_nonsense_later_fails(
        self, serve: Serve, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        served = serve(AsyncTCPServer, Held, tls_certificate=certificates.both)
        with events_of(RequestFailed) as events, certificates.connect(served.address) as client:
            assert client.recv(3) == b"in\n"
            _send_raw(client, b"nonsense" * 100)
            assert isinstance(events.wait_for(RequestFailed).error, ssl.SSLError)


def test_a_connection_that_a_program_wraps_itself_is_refused(
    serve: Serve, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """It would have to shake hands, and asyncio cannot with it."""

    class Wraps(AsyncTCPServer):
        def get_request(self) -> tuple[Any, Any]:
            request, client_address = self.socket.accept()
            context = certificates.server_context()
            return context.wrap_socket(request, server_side=True, do_handshake_on_connect=False), client_address

    with events_of(RequestFailed) as events:
        served = serve(Wraps, Upper)
        assert served.exchange(b"") == b""
        assert "let ssl_context or tls_certificate do it" in str(events.wait_for(RequestFailed).error)


def kinds_of_records(data: bytes) -> list[int]:
    """Return the type of each record of TLS (RFC 8446 section 5.1)."""
    kinds = []
    while data:
        kinds.append(data[0])
        data = data[5 + int.from_bytes(data[3:5], "big") :]
    return kinds


def _send_raw(client: ssl.SSLSocket, data: bytes) -> None:
    """Send bytes past TLS."""
    with socket.socket(fileno=socket.dup(client.fileno())) as raw:
        raw.sendall(data)


class TestHandshake:
    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 1000, b""])
    def test_that_fails_costs_one_event(self, serve: Serve, certificates: Certificates, garbage: bytes) -> None:
        served = serve(AsyncTCPServer, Upper, ssl_context=certificates.server_context())
        with events_of(HandshakeFailed, RequestFailed) as recorder:
            client = served.connect()
            client.sendall(garbage)
            with contextlib.suppress(OSError):  # turned away already
                client.shutdown(socket.SHUT_WR)
            failed = recorder.wait_for(HandshakeFailed)
            served.server.drain(30)
        assert list(recorder) == [failed]
        assert failed.client_address == client.getsockname()
        assert served.server.stats().refused == {"handshake": 1}
        assert served.server.stats().failed == 0

    @pytest.mark.parametrize("file", [None, "stranger"])
    def test_of_an_unknown_client_fails_with_an_alert(
        self, serve: Serve, certificates: Certificates, file: str | None
    ) -> None:
        served = serve(AsyncTCPServer, Tells, ssl_context=certificates.server_context(ask_client=True))
        own = file and getattr(certificates, file)
        with events_of(HandshakeFailed) as recorder:
            with pytest.raises(OSError, match=UNKNOWN_CLIENT):
                read_all(certificates.connect(served.address, certificates.client_context(own)))
            recorder.wait_for(HandshakeFailed)
        assert served.server.stats().refused == {"handshake": 1}

    @pytest.mark.parametrize("server_class", [AsyncTCPServer, AsyncUnixStreamServer])
    @pytest.mark.parametrize("setting", ["handshake_timeout", "idle_timeout"])
    def test_has_a_deadline(
        self, serve: Serve, certificates: Certificates, server_class: type[BaseServer], setting: str
    ) -> None:
        served = serve(server_class, Tells, tls_certificate=certificates.both, **{setting: 0.1})
        with events_of(DeadlinePassed, HandshakeFailed) as recorder:
            assert served.client.recv(1) == b""
            recorder.wait_for(HandshakeFailed)
            assert recorder.wait_for(DeadlinePassed).setting == setting
        assert served.server.stats().expired == {setting: 1}
        assert served.server.stats().refused == {"handshake": 1}

    def test_of_a_silent_client_holds_up_nobody(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(AsyncTCPServer, Tells, tls_certificate=certificates.both)
        silent = served.connect()
        assert told(certificates.connect(served.address))
        silent.shutdown(socket.SHUT_WR)

    def test_may_choose_the_context(self, serve: Serve, certificates: Certificates) -> None:
        other = certificates.server_context(alpn=["other"])
        context = certificates.server_context(alpn=["usual"])

        def choose(request: Any, server_name: str | None, original: ssl.SSLContext) -> None:
            if server_name is None:
                request.context = other

        context.sni_callback = choose
        served = serve(AsyncTCPServer, Tells, ssl_context=context)
        for server_name, protocol in ((NAME, "usual"), (None, "other")):
            wanted = certificates.client_context(alpn=["usual", "other"])
            assert told(certificates.connect(served.address, wanted, server_name))[2:4] == [server_name, protocol]


class TestStartTLS:
    @pytest.fixture
    def handler(self, certificates: Certificates) -> Any:
        class Upgrades(StreamRequestHandler):
            async def handle(self) -> None:
                while line := await self.reader.readline():
                    self.writer.write(line.upper())
                    if line == b"starttls\n":
                        await self.start_tls(certificates.server_context())
                        assert self.tls is not None
                        self.writer.write(f"{self.tls.version} for {self.tls.server_name}\n".encode())

        return Upgrades

    def test_upgrades_a_conversation(self, serve: Serve, certificates: Certificates, handler: Any) -> None:
        plain = serve(AsyncTCPServer, handler).client
        plain.sendall(b"hello\n")
        assert plain.recv(6) == b"HELLO\n"
        plain.sendall(b"starttls\n")
        assert plain.recv(9) == b"STARTTLS\n"
        context = certificates.client_context()
        with context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False) as client:
            client.sendall(b"world\n")
            assert client.makefile("rb").read(28) == b"TLSv1.3 for localhost\nWORLD\n"
            client.unwrap()

    def test_waits_for_what_was_written_before(
        self, serve: Serve, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Much(StreamRequestHandler):
            async def handle(self) -> None:
                self.writer.write(bytes(MUCH))
                await self.start_tls(certificates.server_context())
                self.writer.write(bytes(MUCH))
                await self.writer.drain()

        plain = serve(AsyncTCPServer, Much).client
        left = MUCH
        while left:
            left -= len(plain.recv(min(left, 65536)))
        context = certificates.client_context()
        assert len(read_all(context.wrap_socket(plain, server_hostname=NAME, suppress_ragged_eofs=False))) == MUCH
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    def test_refuses_what_came_ahead(
        self, serve: Serve, certificates: Certificates, handler: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with events_of(RequestFailed) as events:
            client = serve(AsyncTCPServer, handler).client
            client.sendall(b"starttls\nslipped in\n")
            assert client.makefile("rb").read() == b"STARTTLS\n"
            assert "ahead of its TLS handshake" in str(events.wait_for(RequestFailed).error)

    def test_that_fails_fails_the_request(
        self, serve: Serve, certificates: Certificates, handler: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with events_of(RequestFailed) as events:
            client = serve(AsyncTCPServer, handler).client
            client.sendall(b"starttls\n")
            assert client.recv(9) == b"STARTTLS\n"
            client.sendall(b"no handshake\n")
            assert isinstance(events.wait_for(RequestFailed).error, ssl.SSLError)

    def test_needs_a_context_for_servers(
        self, serve: Serve, certificates: Certificates, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Mistaken(StreamRequestHandler):
            async def handle(self) -> None:
                await self.start_tls(certificates.client_context())

        with events_of(RequestFailed) as events:
            assert serve(AsyncTCPServer, Mistaken).exchange(b"") == b""
            assert isinstance(events.wait_for(RequestFailed).error, ValueError)
