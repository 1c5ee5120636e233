"""What comes between accept and the handler, and programs that leave it out."""

from __future__ import annotations

import threading
from queue import Queue
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadingUDPServer,
    ThreadPoolTCPServer,
)
from doorkeep.events import ConnectionReady, ConnectionStarted, ConnectionStopped, HandshakeFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.connection.certificates import Certificates
from tests.sample_handlers import Held, Upper, UpperDatagram

SERVERS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer]


class Speaks(StreamRequestHandler):
    """Says who it is before its client has said a word."""

    def handle(self) -> None:
        self.wfile.write(b"220 welcome\n")
        self.wfile.write(self.rfile.readline().upper())


@pytest.mark.parametrize("server_class", SERVERS)
def test_is_a_method_of_the_server(serve: Serve, server_class: Any) -> None:
    """One that says no keeps the handler from being called; the connection is closed."""

    class Picky(server_class):  # type: ignore[misc]  # a base that is known only now
        def _prologue(self, request: Any, client_address: Any) -> bool:
            return bool(super()._prologue(request, client_address) and request.recv(1) == b"!")

    served = serve(Picky, Upper)
    assert served.exchange(b"?hello\n") == b""
    assert served.exchange(b"!hello\n") == b"HELLO\n"


def test_ends_when_the_handler_begins(serve: Serve, certificates: Certificates) -> None:
    served = serve(ThreadingTCPServer, Speaks, ssl_context=certificates.server_context())
    with events_of(ConnectionStarted, ConnectionReady, ConnectionStopped) as recorder:
        with certificates.connect(served.address) as client:
            assert client.recv(100) == b"220 welcome\n"
        stopped = recorder.wait_for(ConnectionStopped)
    started, ready, _ = recorder
    assert isinstance(started, ConnectionStarted)
    assert isinstance(ready, ConnectionReady)
    assert 0 < ready.seconds < stopped.seconds


def test_that_fails_is_told_between_begin_and_end(serve: Serve, certificates: Certificates) -> None:
    served = serve(ThreadingTCPServer, Speaks, ssl_context=certificates.server_context())
    with events_of(ConnectionStarted, ConnectionReady, HandshakeFailed, ConnectionStopped) as recorder:
        served.exchange(b"hello\n")
        recorder.wait_for(ConnectionStopped)
    assert [type(event) for event in recorder] == [ConnectionStarted, HandshakeFailed, ConnectionStopped]


@pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadPoolTCPServer, ThreadingUDPServer])
def test_notes_the_thread_of_the_request(serve: Serve, server_class: Any) -> None:
    seen: Queue[tuple[int, int]] = Queue()

    class Looks(BaseRequestHandler):
        def handle(self) -> None:
            connection = self.server._requests_in_progress.get(self.request)
            seen.put((connection.task, threading.get_ident()))

    serve(server_class, Looks).client.send(b"hello")
    noted, real = seen.get(timeout=30)
    assert noted == real


class OwnProcessing(TCPServer):
    """Overrides `process_request`, as programs do, and knows of no prologue."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)


class OwnThreadBody(ThreadingTCPServer):
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)


@pytest.mark.parametrize("server_class", [OwnProcessing, OwnThreadBody])
class TestProgramsThatLeaveItOut:
    def test_serve_tls_all_the_same(self, serve: Serve, certificates: Certificates, server_class: Any) -> None:
        served = serve(server_class, Speaks, ssl_context=certificates.server_context())
        with certificates.connect(served.address) as client:
            client.sendall(b"hello\n")
            assert client.makefile("rb").read(18) == b"220 welcome\nHELLO\n"

    @pytest.mark.parametrize("handler", [Speaks, Upper, Held])
    @pytest.mark.parametrize("words", [b"", b"hello\n"])
    def test_never_speak_in_the_clear(
        self, serve: Serve, certificates: Certificates, server_class: Any, handler: Any, words: bytes
    ) -> None:
        served = serve(server_class, handler, ssl_context=certificates.server_context())
        answer = served.exchange(words)
        assert answer == b"" or answer[0] == 21  # a TLS alert: RFC 8446 section 5.1

    def test_know_what_was_agreed(self, serve: Serve, certificates: Certificates, server_class: Any) -> None:
        class Tells(StreamRequestHandler):
            def handle(self) -> None:
                assert self.tls is not None
                self.wfile.write(str(self.tls.version).encode())

        served = serve(server_class, Tells, ssl_context=certificates.server_context())
        with certificates.connect(served.address) as client:
            assert client.recv(100) == b"TLSv1.3"


def test_of_a_datagram_is_empty(serve: Serve) -> None:
    served = serve(ThreadingUDPServer, UpperDatagram)
    with events_of(ConnectionReady) as recorder:
        assert served.exchange(b"hello") == b"HELLO"
    assert list(recorder) == []
    assert served.server._prologue((b"data", None), ("127.0.0.1", 1)) is True
