"""Handlers as programs use them that were written for the standard library's."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import ThreadingTCPServer
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.echo import Echo, Handler, bodies


class TestOwnLoops:
    def test_read_and_write_as_they_please(self, serve: Serve) -> None:
        """In a loop of the program's own nothing is bounded, chunked or dropped."""

        class Loops(Handler):
            def handle(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                assert self.parse_request()
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(self.rfile.read())

        answer = serve(ThreadingHTTPServer, Loops).exchange(b"HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabcd")
        assert answer == b"HTTP/1.1 200 OK\r\n\r\nabcd"

    def test_a_head_may_end_with_the_stream(self) -> None:
        own = Handler.__new__(Handler)
        own.rfile, own.raw_requestline = io.BytesIO(b"X: y"), b"GET / HTTP/1.1"
        assert own.parse_request()
        assert own.headers.items() == [("X", "y")]

    def test_handle_one_request_may_be_replaced_on_the_instance(self, serve: Serve) -> None:
        class Replaces(Handler):
            def setup(self) -> None:
                super().setup()
                self.handle_one_request = self.only  # type: ignore[method-assign]  # as programs do

            def only(self) -> None:
                self.wfile.write(b"only")
                self.close_connection = True

        assert serve(ThreadingHTTPServer, Replaces).exchange(b"GET / HTTP/1.1\r\n\r\n") == b"only"

    def test_a_parse_request_of_the_programs_own(self, serve: Serve) -> None:
        class Parses(Handler):
            def parse_request(self) -> bool:
                self.command, self.request_version, self.close_connection = "GET", "HTTP/1.1", True
                return True

            def do_GET(self) -> None:
                self.wfile.write(self.rfile.read())

        assert serve(ThreadingHTTPServer, Parses).exchange(b"anything\nabc") == b"abc"


class TestOtherServers:
    def test_a_plain_server_of_ours(self, serve: Serve) -> None:
        answer = serve(ThreadingTCPServer, Echo).exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
        assert bodies(answer) == [b"GET / "] * 2

    @pytest.mark.parametrize("server", [None, SimpleNamespace()])
    def test_no_server_of_ours_gets_what_the_handler_writes(self, server: Any) -> None:
        class Writes(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(b"hello")

        own = Writes.__new__(Writes)
        own.request, own.server, own.client_address = None, server, ("127.0.0.1", 1)
        own.rfile, own.wfile = io.BytesIO(b"GET / HTTP/1.1\r\n\r\n"), io.BytesIO()
        own.handle_one_request()
        assert own.wfile.getvalue() == b"HTTP/1.1 200 OK\r\n\r\nhello"
        assert not own.close_connection
