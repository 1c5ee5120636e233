"""Which connections are kept for further requests, and how their end is told."""

from __future__ import annotations

from typing import Any

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.echo import Echo, bodies
from tests.http.models import on_every_server


class TestKeeping:
    @pytest.mark.parametrize(
        ("version", "request_head", "kept"),
        [
            ("HTTP/1.1", b"GET / HTTP/1.1\r\n", True),
            ("HTTP/1.1", b"GET / HTTP/1.1\r\nConnection: close\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.1\r\nConnection: x, Close\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.0\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", True),
            ("HTTP/1.0", b"GET / HTTP/1.1\r\n", False),
            ("HTTP/1.0", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", False),
        ],
    )
    def test_as_both_sides_wish(self, serve: Serve, version: str, request_head: bytes, kept: bool) -> None:
        class Speaks(Echo):
            protocol_version = version

        answer = serve(ThreadingHTTPServer, Speaks).exchange((request_head + b"\r\n") * 2)
        assert len(bodies(answer)) == 1 + kept

    @on_every_server
    def test_the_end_that_a_client_asks_for_is_told(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET / "

    def test_the_end_that_the_handler_wants_is_told(self, serve: Serve) -> None:
        answer = serve(ThreadingHTTPServer, Echo).exchange(b"CLOSE / HTTP/1.1\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nclosing"

    def test_it_is_told_once(self, serve: Serve) -> None:
        class Tells(Echo):
            def end_headers(self) -> None:
                self.send_header("Connection", "close, x")
                super().end_headers()

        answer = serve(ThreadingHTTPServer, Tells).exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.count(b"Connection:") == 1

    @pytest.mark.parametrize(("handler_speaks", "client_speaks"), [("HTTP/1.0", "1.1"), ("HTTP/1.1", "1.0")])
    def test_it_is_not_told_where_one_speaks_http_1_0(
        self, serve: Serve, handler_speaks: str, client_speaks: str
    ) -> None:
        class Speaks(Echo):
            protocol_version = handler_speaks

        request = f"GET / HTTP/{client_speaks}\r\nConnection: close\r\n\r\n".encode()
        answer = serve(ThreadingHTTPServer, Speaks).exchange(request)
        assert answer == handler_speaks.encode() + b" 200 OK\r\nContent-Length: 6\r\n\r\nGET / "

    def test_for_so_many_requests(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, max_requests_per_connection=3)
        answer = served.exchange(b"GET / HTTP/1.1\r\n\r\n" * 5)
        assert len(bodies(answer)) == 3
        assert answer.count(b"Connection: close\r\n") == 1
