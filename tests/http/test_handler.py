"""The handler: requests are led to their methods, one after another."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import Any

import pytest

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.echo import Echo, Handler, bodies, statuses
from tests.http.models import on_every_server


@on_every_server
class TestRequests:
    def test_one_after_another_on_a_connection(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo)
        client = HTTPConnection(*served.address)
        client.sock = served.client  # which ends although a child process has inherited it
        for path in ("/a", "/b?x=1", "/%41"):
            client.request("GET", path)
            assert client.getresponse().read() == b"GET %b " % path.encode()

    def test_in_a_pipeline(self, serve: Serve, server_class: Any) -> None:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(50))
        answer = serve(server_class, Echo).exchange(requests)
        assert bodies(answer) == [b"GET /%d " % number for number in range(50)]

    def test_bodies_end_where_they_end(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(
            b"POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
            b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"
            b"GET /3 HTTP/1.1\r\n\r\n"
        )
        assert bodies(answer) == [b"POST /1 abc", b"POST /2 defgh", b"GET /3 "]

    def test_what_a_handler_leaves_is_not_the_next_request(self, serve: Serve, server_class: Any) -> None:
        smuggled = b"GET /smuggled HTTP/1.1\r\n\r\n"
        answer = serve(server_class, Echo).exchange(
            b"LEAVE / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%bGET /next HTTP/1.1\r\n\r\n" % (len(smuggled), smuggled)
        )
        assert bodies(answer) == [b"left", b"GET /next "]

    def test_until_the_handler_closes(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(b"CLOSE / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert bodies(answer) == [b"closing"]

    def test_the_connection_ends_with_a_handler_that_fails(self, serve: Serve, server_class: Any) -> None:
        class Fails(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(b"begun")
                raise ConnectionResetError("as if the client had gone")

        answer = serve(server_class, Fails).exchange(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n5\r\nbegun\r\n")  # without the chunk that would end it


class TestMethods:
    def test_are_looked_up_at_each_request(self, serve: Serve) -> None:
        class Any_(Handler):
            def __getattr__(self, name: str) -> Any:
                if name == "do_BREW":
                    return lambda: self.answer(b"brewed")
                raise AttributeError(name)

        answer = serve(ThreadingHTTPServer, Any_).exchange(b"BREW / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [200, 501]
        assert b"501 Unsupported method ('GET')\r\n" in answer

    def test_may_be_chosen_by_parse_request(self, serve: Serve) -> None:
        class Overrides(Echo):
            def parse_request(self) -> bool:
                parsed = super().parse_request()
                self.command = self.headers.get("X-HTTP-Method-Override", self.command)
                return parsed

        answer = serve(ThreadingHTTPServer, Overrides).exchange(
            b"POST / HTTP/1.1\r\nX-HTTP-Method-Override: LEAVE\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\n\r\n"
        )
        assert bodies(answer) == [b"left", b"GET / "]

    def test_find_the_request_in_the_attributes(self, serve: Serve) -> None:
        found: list[Any] = []

        class Looks(Handler):
            def do_GET(self) -> None:
                found.append((self.raw_requestline, self.requestline, self.command, self.path, self.request_version))
                found.append((self.headers.get("x-name"), self.client_address[0], self.close_connection))
                self.answer(b"")

        serve(ThreadingHTTPServer, Looks).exchange(b"GET  /x HTTP/1.1 \r\nX-Name:  value \r\n\r\n")
        assert found == [
            (b"GET  /x HTTP/1.1 \r\n", "GET  /x HTTP/1.1 ", "GET", "/x", "HTTP/1.1"),
            ("value", "127.0.0.1", False),
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_bytes", "status", "reason"),
        [
            (b"GET / HTTP/1.1 x\r\n\r\n", 400, b"Bad request version"),
            (b"GET / HTTP/2.0\r\n\r\n", 505, b"Invalid HTTP version (2.0)"),
            (b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 65536), 414, b"URI Too Long"),
            (b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 65536), 431, b"Line too long"),
            (b"GET / HTTP/1.1\r\n%b\r\n" % (b"X: y\r\n" * 101), 431, b"Too many headers"),
            (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", 400, b""),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b""),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, b""),
        ],
    )
    def test_tell_why_and_close(self, serve: Serve, request_bytes: bytes, status: int, reason: bytes) -> None:
        class Default(Echo):
            default_request_version = "HTTP/1.1"

        answer = serve(ThreadingHTTPServer, Default).exchange(request_bytes + b"GET / HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [status]
        first, *headers = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert reason in first
        assert b"Connection: close" in headers

    def test_a_host_may_be_required(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, host_required=True)
        assert statuses(served.exchange(b"GET / HTTP/1.1\r\n\r\n")) == [400]
        assert statuses(served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")) == [200]

    def test_nothing_answers_a_head_that_is_cut_off(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo)
        for piece in (
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"",
        ):
            assert served.exchange(piece) == b""

    def test_an_empty_line_may_come_first(self, serve: Serve) -> None:
        assert bodies(serve(ThreadingHTTPServer, Echo).exchange(b"\r\nGET / HTTP/1.1\r\n\r\n")) == [b"GET / "]
