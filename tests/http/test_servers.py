"""The servers of HTTP: what they are called, over TLS, and how they end."""

from __future__ import annotations

import socket
import ssl
import threading
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

import doorkeep
from doorkeep import SettingError
from doorkeep.http import settings as http_settings
from doorkeep.http.green import GreenHTTPServer, GreenHTTPSServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import (
    ForkingHTTPServer,
    HTTPServer,
    HTTPSServer,
    ThreadingHTTPServer,
    ThreadingHTTPSServer,
    ThreadPoolHTTPServer,
)
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests import prerequisites
from tests.background import Background, eventually
from tests.connection.certificates import NAME, Certificates

in_one_process = pytest.mark.parametrize(
    "server_class", [HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer, GreenHTTPServer]
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_POST(self) -> None:
        size = len(self.rfile.read())
        self.send_response_only(200)
        self.end_headers()
        self.wfile.write(b"%d" % size)


def answered(served: Served[Any]) -> socket.socket:
    """Return a client that has been answered, and keeps its connection."""
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    received = b""
    while not received.endswith(b"hello"):
        received += client.recv(100)
    return client


class TestNames:
    @pytest.fixture(autouse=True)
    def _no_look_ups(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("getfqdn", "gethostbyaddr", "getnameinfo"):
            monkeypatch.delattr(socket, name)

    @pytest.mark.parametrize(
        ("host", "name"),
        [("127.0.0.1", "localhost"), ("127.0.0.2", "127.0.0.2"), ("", socket.gethostname()), ("::1", "localhost")],
    )
    def test_are_not_looked_up(self, host: str, name: str) -> None:
        with HTTPServer((host, 0), Handler) as server:
            assert (server.server_name, server.server_port) == (name, server.server_address[1])

    def test_of_a_unix_socket(self, tmp_path: Path) -> None:
        with HTTPServer(str(tmp_path / "socket"), Handler) as server:
            assert (server.server_name, server.server_port) == ("localhost", 0)


def test_a_unix_socket_is_served(serve: Serve, tmp_path: Path) -> None:
    answer = serve(ThreadingHTTPServer, Handler, str(tmp_path / "socket")).exchange(b"GET / HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"hello")


@in_one_process
def test_responses_do_not_wait_for_acknowledgements(serve: Serve, server_class: Any) -> None:
    found: list[int] = []

    class Looks(Handler):
        def do_GET(self) -> None:
            found.append(self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().do_GET()

    answered(serve(server_class, Looks))
    assert found == [1]


def test_the_green_ones_send_head_and_body_together(serve: Serve) -> None:
    client = serve(GreenHTTPServer, Handler).client
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(1000).endswith(b"hello")


class TestTheEnd:
    @pytest.mark.parametrize(
        "server_class", [HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer, GreenHTTPServer, ForkingHTTPServer]
    )
    def test_connections_that_wait_do_not_hold_up_a_drain(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Handler)
        clients = [answered(served)] if server_class is HTTPServer else [answered(served) for _ in range(3)]
        assert served.server.drain(60) == 0
        for client in clients:
            assert client.recv(1) == b""

    def test_a_child_that_is_busy_finishes_and_keeps_its_connection_no_longer(self, serve: Serve) -> None:
        served = serve(ForkingHTTPServer, Handler)
        client = answered(served)
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        with client.makefile("rb") as file:
            assert b"".join(iter(file.readline, b"\r\n")).startswith(b"HTTP/1.1 100 ")
            drain = Background(served.server.drain, 60)
            assert eventually(lambda: served.server._drain_begun)
            client.sendall(b"ab")
            # The child may learn of it only after it has answered.
            answer = b"".join(iter(file.readline, b"\r\n")), file.read()
        assert answer in (
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", b"2"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", b"1\r\n2\r\n0\r\n\r\n"),
        )
        assert drain.result(90) == 0

    def test_a_drain_within_a_child_leaves_the_others_alone(self, serve: Serve) -> None:
        class Drains(Handler):
            def do_DRAIN(self) -> None:
                self.server._drain_begun = True
                self.server._end_conversations()
                self.do_GET()

        served = serve(ForkingHTTPServer, Drains)
        client = answered(served)
        assert served.exchange(b"DRAIN / HTTP/1.1\r\n\r\n").endswith(b"Connection: close\r\n\r\nhello")
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\nContent-Length:")

    @pytest.mark.parametrize("server_class", [HTTPServer, GreenHTTPServer])
    def test_nor_the_end_of_a_loop_that_they_wait_in(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Handler)
        client = answered(served)
        Background(served.server.shutdown).result()
        assert client.recv(1) == b""

    def test_other_threads_go_on(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Handler)
        client = answered(served)
        (connection,) = served.server._requests_in_progress
        assert eventually(lambda: connection.waits_for == "keep_alive_timeout")
        served.server.shutdown()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"Connection: close\r\n\r\nhello")

    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    def test_a_request_in_progress_is_the_last(self, serve: Serve, server_class: Any) -> None:
        begun = threading.Event()

        class Begins(Handler):
            def do_POST(self) -> None:
                begun.set()
                super().do_POST()

        served = serve(server_class, Begins)
        client = answered(served)
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        assert begun.wait(30)
        drained = Background(served.server.drain, 60)
        assert eventually(lambda: not served.server._keeps_connections)
        client.sendall(b"b")
        assert client.makefile("rb").read() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n2"
        assert drained.result() == 0

    def test_a_server_may_serve_again(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Handler)
        served.server.shutdown()
        again = threading.Thread(target=served.server.serve_forever)
        again.start()
        client = answered(served)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        served.server.shutdown()
        again.join()


class TestBodyRate:
    @pytest.fixture(autouse=True)
    def _no_grace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http_settings, "GRACE", 0.2)

    @in_one_process
    @pytest.mark.parametrize(
        "head",
        [
            b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
        ],
    )
    def test_who_sends_too_slowly_is_cut(self, serve: Serve, server_class: Any, head: bytes) -> None:
        served = serve(server_class, Handler, min_body_rate=1000)
        client = served.client
        client.sendall(head + b"x")
        assert client.recv(100) == b""
        assert served.server.stats().expired == {"min_body_rate": 1}

    @in_one_process
    def test_who_takes_too_slowly_is_cut(self, serve: Serve, server_class: Any) -> None:
        failed = threading.Event()

        class Floods(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                except OSError:
                    failed.set()
                    raise

        served = serve(server_class, Floods, min_body_rate=1000)
        served.client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert failed.wait(30)
        assert served.server.stats().expired == {"min_body_rate": 1}

    def test_a_handler_may_take_its_time(self, serve: Serve) -> None:
        release, begun = threading.Event(), threading.Event()

        class Takes(Handler):
            def do_POST(self) -> None:
                self.rfile.read(1)
                begun.set()
                assert release.wait(30)
                super().do_POST()

        served = serve(ThreadingHTTPServer, Takes, min_body_rate=1000, head_timeout=1.0)
        client = served.connect()
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        assert begun.wait(30)
        assert served.connect().recv(1) == b""  # who came later is gone
        release.set()
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read().endswith(b"\r\n\r\n1\r\n2\r\n0\r\n\r\n")

    def test_who_is_fast_enough_is_served(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Handler, min_body_rate=1)
        body = bytes(3 << 20)
        request = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert served.exchange(request + body).endswith(b"\r\n\r\n%d" % len(body))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    prerequisites.module("trustme")
    return Certificates(tmp_path_factory.mktemp("certificates"))


class TestTLS:
    @pytest.mark.parametrize("server_class", [HTTPSServer, ThreadingHTTPSServer, GreenHTTPSServer])
    def test_is_served(self, serve: Serve, server_class: Any, certificates: Certificates) -> None:
        served = serve(server_class, Handler, certfile=certificates.certificate, keyfile=certificates.key)
        context = certificates.client_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = HTTPSConnection(NAME, served.address[1], context=context, timeout=30)
        client.request("GET", "/")
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.getresponse().read() == b"hello"
        client.close()
        assert isinstance(served.server.socket, ssl.SSLSocket)

    def test_a_body_that_is_left_ends_the_connection(self, serve: Serve, certificates: Certificates) -> None:
        served = serve(
            ThreadingHTTPSServer,
            Handler,
            certfile=certificates.certificate,
            keyfile=certificates.key,
            max_unread_body=1,
        )
        with certificates.client_context().wrap_socket(served.connect(), server_hostname=NAME) as client:
            client.sendall(b"GET / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
            assert client.makefile("rb").read().endswith(b"hello")

    def test_needs_a_certificate(self) -> None:
        with pytest.raises(TypeError, match="certfile"):
            HTTPSServer(("127.0.0.1", 0), Handler)  # type: ignore[call-arg]  # as it should not be called
        with pytest.raises(OSError, match="No such file"):
            HTTPSServer(("127.0.0.1", 0), Handler, certfile="missing.pem")


def test_settings_are_checked() -> None:
    for name, value in (("head_timeout", 0), ("max_requests_per_connection", 0), ("access_log", "xml")):
        with pytest.raises(SettingError, match=name):
            HTTPServer(("127.0.0.1", 0), Handler, True, **{name: value})


def test_doorkeep_hands_them_on() -> None:
    for server_class in (HTTPServer, HTTPSServer, ThreadingHTTPServer, ThreadingHTTPSServer, ThreadPoolHTTPServer):
        assert getattr(doorkeep, server_class.__name__) is server_class
    assert doorkeep.GreenHTTPServer is GreenHTTPServer
    assert doorkeep.GreenHTTPSServer is GreenHTTPSServer
    assert doorkeep.BaseHTTPRequestHandler is BaseHTTPRequestHandler
