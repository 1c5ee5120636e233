"""TLS: the ways to it, what it tells, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    ForkingTCPServer,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUnixStreamServer,
    ThreadPoolTCPServer,
)
from doorkeep.connection.tls import wrap
from doorkeep.events import (
    DeadlinePassed,
    HandshakeFailed,
    RequestFailed,
)
from doorkeep.testing import Served, converse, events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.connection.agreed import UNKNOWN_CLIENT, Tells, read_all, told
from tests.connection.certificates import NAME, Certificates
from tests.sample_handlers import Upper

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]

Start = Callable[..., Served[Any]]


def wrapping(server_class: Any, context: ssl.SSLContext, **options: Any) -> Any:
    """Return a class whose instances wrap their listener, as programs for the standard library do."""

    class Wraps(server_class):  # type: ignore[misc]  # a base that is known only now
        socket: Any

        def server_activate(self) -> None:
            super().server_activate()
            self.socket = context.wrap_socket(self.socket, server_side=True, **options)

    return Wraps


class Delay(BaseRequestHandler):
    """Answers 1 if the kernel sends at once what is written, though what was sent before is not acknowledged."""

    def handle(self) -> None:
        self.request.recv(1)
        at_once = self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        self.request.sendall(b"%d" % at_once)


WAYS = ["context", "files", "one file", "wrapped", "wrapped, no handshake"]


@pytest.fixture(params=WAYS)
def start(request: pytest.FixtureRequest, serve: Serve, certificates: Certificates) -> Start:
    """Return a function that serves TLS, in each of the ways to do so."""

    def start(server_class: Any, handler: Any, **settings: Any) -> Served[Any]:
        alpn, ask_client = settings.pop("alpn", ()), settings.pop("ask_client", False)
        context = certificates.server_context(alpn, ask_client)
        if request.param == "wrapped":
            return serve(wrapping(server_class, context), handler, **settings)
        if request.param == "wrapped, no handshake":
            return serve(wrapping(server_class, context, do_handshake_on_connect=False), handler, **settings)
        if request.param == "context":
            return serve(server_class, handler, ssl_context=context, **settings)
        files = {"tls_certificate": certificates.both}
        if request.param == "files":
            files = {"tls_certificate": certificates.certificate, "tls_key": certificates.key}
        if ask_client:
            files["tls_client_ca"] = certificates.authority
        return serve(server_class, handler, **files, tls_alpn=alpn or None, **settings)

    return start


class TestConversation:
    @pytest.mark.parametrize("server_class", SERVERS)
    def test_goes_on_under_tls(self, start: Start, certificates: Certificates, server_class: Any) -> None:
        served = start(server_class, Upper)
        with certificates.connect(served.address) as client:
            client.sendall(b"hello\nworld\n")
            assert client.makefile("rb").read(12) == b"HELLO\nWORLD\n"
            client.unwrap()

    def test_tells_what_was_agreed(self, start: Start, certificates: Certificates) -> None:
        served = start(ThreadingTCPServer, Tells, alpn=["two", "one"], ask_client=True)
        client = certificates.connect(
            served.address, certificates.client_context(certificates.client, alpn=["one", "two", "three"])
        )
        cipher = client.cipher()
        assert cipher is not None
        assert told(client) == ["TLSv1.3", cipher[0], NAME, "two", [["email", "ann@example.org"]]]

    def test_tells_none_of_what_was_not(self, start: Start, certificates: Certificates) -> None:
        served = start(ThreadingTCPServer, Tells)
        client = certificates.connect(served.address, server_name=None)
        version, _, *rest = told(client)
        assert version == "TLSv1.3"
        assert rest == [None, None, None]

    def test_its_first_answer_does_not_wait_for_an_acknowledgement(
        self, start: Start, certificates: Certificates
    ) -> None:
        served = start(TCPServer, Delay)
        client = certificates.connect(served.address)
        client.sendall(b"?")
        assert read_all(client) == b"1"

    def test_ends_with_close_notify(self, start: Start, certificates: Certificates) -> None:
        """As `read_all` demands: without it a client cannot tell an end from a cut line."""
        served = start(ThreadingTCPServer, Tells)
        assert read_all(certificates.connect(served.address)) != b""

    @pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer])
    def test_of_others_is_not_held_up_by_a_silent_client(
        self, start: Start, certificates: Certificates, server_class: Any
    ) -> None:
        served = start(server_class, Tells)
        silent = served.connect()
        assert read_all(certificates.connect(served.address)) != b""
        silent.shutdown(socket.SHUT_WR)

    @pytest.mark.parametrize("start", ["files", "wrapped"], indirect=True)
    @pytest.mark.parametrize("server_class", SERVERS)
    @pytest.mark.parametrize("setting", ["handshake_timeout", "idle_timeout"])
    def test_begins_in_time_or_not_at_all(
        self, start: Start, certificates: Certificates, server_class: Any, setting: str
    ) -> None:
        served = start(server_class, Tells, **{setting: 0.1})
        with events_of(DeadlinePassed, HandshakeFailed) as recorder:
            assert served.client.recv(1) == b""
            if server_class is not ForkingTCPServer:
                recorder.wait_for(HandshakeFailed)
                assert recorder.wait_for(DeadlinePassed).setting == setting
                assert served.server.stats().expired == {setting: 1}
                assert served.server.stats().refused == {"handshake": 1}

    def test_without_it_is_told_apart(self, serve: Serve) -> None:
        assert serve(ThreadingTCPServer, Tells).exchange(b"") == b"null"
        assert converse(Tells, b"") == b"null"

    def test_over_a_unix_socket(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(ThreadingUnixStreamServer, Upper, tls_certificate=certificates.both, idle_timeout=60)
        context = certificates.client_context()
        with context.wrap_socket(served.client, server_hostname=NAME) as client:
            client.sendall(b"hello\n")
            assert client.recv(6) == b"HELLO\n"


class TestFailedHandshake:
    @pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer])
    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 1000, b""])
    def test_costs_one_event(self, serve: Serve, certificates: Certificates, server_class: Any, garbage: bytes) -> None:
        def never(*arguments: Any) -> None:
            raise AssertionError("the handler was called")

        served = serve(server_class, never, ssl_context=certificates.server_context())
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
    def test_of_a_client_that_nobody_knows(self, start: Start, certificates: Certificates, file: str | None) -> None:
        served = start(ThreadingTCPServer, Tells, ask_client=True)
        own = file and getattr(certificates, file)
        with events_of(HandshakeFailed) as recorder:
            with pytest.raises(OSError, match=UNKNOWN_CLIENT):
                read_all(certificates.connect(served.address, certificates.client_context(own)))
            recorder.wait_for(HandshakeFailed)
        assert served.server.stats().refused == {"handshake": 1}
        known = certificates.client_context(certificates.client)
        assert told(certificates.connect(served.address, known))[-1] == [["email", "ann@example.org"]]


class TestServerNames:
    def test_are_noted_beside_what_the_program_does_with_them(self, start: Start, certificates: Certificates) -> None:
        asked: list[str] = []
        served = start(ThreadingTCPServer, Tells)
        context = served.server.ssl_context or getattr(served.server.socket, "context", None)
        if context is not None:  # made from files, it is nobody's to change

            def note(request: Any, server_name: str, original: ssl.SSLContext) -> None:
                asked.append(server_name)

            context.sni_callback = note
        for _ in range(2):
            assert told(certificates.connect(served.address))[2] == NAME
        assert asked == ([NAME] * 2 if context is not None else [])

    def test_may_choose_the_context(self, serve: Serve, certificates: Certificates) -> None:
        other = certificates.server_context(alpn=["other"])
        context = certificates.server_context(alpn=["usual"])

        def choose(request: Any, server_name: str | None, original: ssl.SSLContext) -> None:
            if server_name is None:
                request.context = other

        context.sni_callback = choose
        served = serve(ThreadingTCPServer, Tells, ssl_context=context)
        for server_name, protocol in ((NAME, "usual"), (None, "other")):
            wanted = certificates.client_context(alpn=["usual", "other"])
            client = certificates.connect(served.address, wanted, server_name)
            assert told(client)[2:4] == [server_name, protocol]


class TestClientsThatHaveGone:
    def test_keep_nobody_waiting(self, certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
        with TCPServer(("127.0.0.1", 0), Upper, tls_certificate=certificates.both) as server:
            for _ in range(5):
                gone = socket.create_connection(server.server_address)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.close()
            serving = Background(server.serve_forever)
            with certificates.connect(server.server_address) as client:
                client.sendall(b"next\n")
                assert client.recv(5) == b"NEXT\n"
            server.shutdown()
            serving.result()
            assert server.stats().accept_errors == {"aborted": 5}
        assert "pauses" not in caplog.text

    def test_amid_the_wrapping(self, certificates: Certificates) -> None:
        class Gone(ssl.SSLSocket):
            """A connection whose client goes as it is wrapped."""

            def getpeername(self) -> Any:
                raise OSError(errno.ENOTCONN, "not connected")

            def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
                raise ConnectionResetError(errno.ECONNRESET, "reset")

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.both)
        context.sslsocket_class = Gone
        ours, theirs = socket.socketpair()
        descriptor = ours.fileno()
        with theirs, pytest.raises(ConnectionAbortedError, match="has gone"):
            wrap(ours, context)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
