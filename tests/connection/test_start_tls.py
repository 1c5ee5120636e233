"""Conversations that begin in the clear and go over to TLS."""

from __future__ import annotations

import contextlib
import gc
import socket
import socketserver
import ssl
from typing import Any

import pytest

from doorkeep import (
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadPoolTCPServer,
)
from doorkeep.events import (
    DeadlinePassed,
    RequestFailed,
)
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.connection.agreed import read_all
from tests.connection.certificates import NAME, Certificates

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]
ADDRESS = ("127.0.0.1", 0)


class Upgrades(StreamRequestHandler):
    """Answers each line in upper case, and goes over to TLS when it is told to."""

    context: ssl.SSLContext

    def handle(self) -> None:
        for line in iter(lambda: self.rfile.readline(), b""):
            self.wfile.write(line.upper())
            if line == b"starttls\n":
                self.start_tls(self.context)
                assert self.tls is not None
                self.wfile.write(f"{self.tls.version} for {self.tls.server_name}\n".encode())
            self.wfile.flush()


class TestStartTLS:
    @pytest.fixture
    def handler(self, certificates: Certificates) -> Any:
        return type("Upgrading", (Upgrades,), {"context": certificates.server_context()})

    @staticmethod
    def upgraded(client: socket.socket, certificates: Certificates) -> ssl.SSLSocket:
        client.sendall(b"starttls\n")
        assert client.recv(9) == b"STARTTLS\n"
        context = certificates.client_context()
        return context.wrap_socket(client, server_hostname=NAME, suppress_ragged_eofs=False)

    @pytest.mark.parametrize("server_class", SERVERS)
    @pytest.mark.parametrize("buffering", [{"rbufsize": -1}, {"rbufsize": 0}, {"wbufsize": 4096}], ids=str)
    def test_upgrades_a_conversation(
        self,
        serve: Serve,
        certificates: Certificates,
        handler: Any,
        server_class: Any,
        buffering: dict[str, int],
    ) -> None:
        served = serve(server_class, type("Handler", (handler,), buffering))
        served.client.sendall(b"hello\n")
        assert served.client.recv(6) == b"HELLO\n"
        with self.upgraded(served.client, certificates) as client:
            client.sendall(b"world\n")
            assert client.makefile("rb").read(28) == b"TLSv1.3 for localhost\nWORLD\n"
            client.unwrap()

    def test_ends_with_close_notify(self, serve: Serve, certificates: Certificates, handler: Any) -> None:
        class Once(handler):  # type: ignore[misc]  # a base that is known only now
            def handle(self) -> None:
                assert self.rfile.readline() == b"starttls\n"
                self.wfile.write(b"STARTTLS\n")
                self.start_tls(self.context)
                self.wfile.write(b"done")

        served = serve(ThreadingTCPServer, Once)
        assert read_all(self.upgraded(served.client, certificates)) == b"done"

    @pytest.mark.parametrize("rbufsize", [-1, 0])
    def test_refuses_what_was_sent_ahead_of_the_handshake(self, serve: Serve, handler: Any, rbufsize: int) -> None:
        """Somebody between the two could have slipped it in: CVE-2011-0411."""
        served = serve(ThreadingTCPServer, type("Handler", (handler,), {"rbufsize": rbufsize}))
        with events_of(RequestFailed) as recorder:
            answer = served.exchange(b"starttls\nslipped in\n")
            error = recorder.wait_for(RequestFailed).error
        assert answer.startswith(b"STARTTLS\n")
        assert b"SLIPPED" not in answer
        assert isinstance(error, ssl.SSLError)
        if rbufsize:
            assert "ahead of its TLS handshake" in str(error)

    def test_fails_with_the_handshake(self, serve: Serve, handler: Any) -> None:
        """The handler learns of it; the fixture sees that nothing stays open."""
        served = serve(ThreadingTCPServer, handler)
        with events_of(RequestFailed) as recorder:
            served.client.sendall(b"starttls\n")
            assert served.client.recv(9) == b"STARTTLS\n"
            served.client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert isinstance(recorder.wait_for(RequestFailed).error, ssl.SSLError)

    def test_leaves_nothing_open_where_the_context_is_none_for_servers(
        self, serve: Serve, certificates: Certificates, handler: Any
    ) -> None:
        handler.context = certificates.client_context()
        served = serve(ThreadingTCPServer, handler)
        with events_of(RequestFailed) as recorder:
            assert served.exchange(b"starttls\n") == b"STARTTLS\n"
            assert str(recorder.wait_for(RequestFailed).error) == "a context for clients cannot serve"
        gc.collect()  # what was forgotten would be warned of

    def test_is_under_the_servers_deadlines(self, serve: Serve, certificates: Certificates, handler: Any) -> None:
        served = serve(ThreadingTCPServer, handler, request_timeout=0.5)

        def upgraded_in_time() -> ssl.SSLSocket | None:
            """Return a client, None where a slow machine took too long for it."""
            with served.connect() as plain, contextlib.suppress(OSError, AssertionError):
                client = self.upgraded(plain, certificates)
                assert client.recv(100) == b"TLSv1.3 for localhost\n"
                return client
            return None

        with events_of(DeadlinePassed) as recorder:
            attempts = 1
            while (client := upgraded_in_time()) is None:
                attempts += 1
            recorder.wait_for(DeadlinePassed, count=attempts)
            assert {event.setting for event in recorder.of(DeadlinePassed)} == {"request_timeout"}
            with client, contextlib.suppress(OSError):  # cut, or ended in order by the handler that noticed
                assert client.recv(100) == b""

    def test_needs_no_server_of_ours(self, certificates: Certificates, handler: Any) -> None:
        with socketserver.ThreadingTCPServer(ADDRESS, handler) as server:
            address: Any = server.server_address
            client = socket.create_connection(address, timeout=30)
            server.handle_request()
            with self.upgraded(client, certificates) as upgraded:
                upgraded.sendall(b"world\n")
                assert upgraded.makefile("rb").read(28) == b"TLSv1.3 for localhost\nWORLD\n"
