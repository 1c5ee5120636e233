"""Responses: what handlers send, byte for byte, and how its end is told from the next one."""

from __future__ import annotations

import io
import re
import socket
import sys
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import pytest

from doorkeep.http.core import ResponseHeadMixIn
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Alone(Handler):
    """A handler without a connection, that has got a request."""

    def __init__(self, version: str = "HTTP/1.1", command: str | None = "GET") -> None:
        self.wfile = io.BytesIO()
        self.request_version, self.command, self.requestline = version, command, ""

    @property
    def sent(self) -> bytes:
        data: bytes = self.wfile.getvalue()
        return data


class Writes(Handler):
    """Answers as the path says: a status, and whether the length of the body is told."""

    def do_GET(self) -> None:
        status, _, told = self.path[1:].partition("/")
        self.send_response_only(int(status))
        if told:
            self.send_header("Content-Length", 5)
        self.end_headers()
        for piece in (b"hel", b"", bytearray(b"lo")):
            assert self.wfile.write(piece) == len(piece)

    do_HEAD = do_POST = do_GET


def exchange(serve: Serve, request: bytes, handler: type = Writes, server_class: Any = ThreadingHTTPServer) -> bytes:
    return serve(server_class, handler).exchange(request)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


class TestTheEnd:
    """How the client finds the end of a body."""

    @pytest.mark.parametrize("server_class", [HTTPServer, ThreadingHTTPServer, GreenHTTPServer])
    def test_is_in_the_chunks_if_the_length_is_not_told(self, serve: Serve, server_class: Any) -> None:
        request = b"GET /200 HTTP/1.1\r\n\r\nGET /200/told HTTP/1.1\r\n\r\n"
        answer = exchange(serve, request, server_class=server_class)
        assert answer == CHUNKED + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    def test_is_that_of_the_connection_if_it_closes(self, serve: Serve) -> None:
        assert exchange(serve, b"GET /200 HTTP/1.0\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\nhello"
        answer = exchange(serve, b"GET /200 HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"

    def test_is_that_of_the_connection_for_old_clients(self, serve: Serve) -> None:
        answer = exchange(serve, b"GET /200 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        assert answer == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"

    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    @pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
    @pytest.mark.parametrize("told", [b"", b"/told"])
    def test_is_that_of_the_head(
        self, serve: Serve, server_class: Any, method: bytes, status: int, told: bytes
    ) -> None:
        request = b"%b /%d%b HTTP/1.1\r\n\r\nGET /200 HTTP/1.1\r\n\r\n" % (method, status, told)
        first, separator, rest = exchange(serve, request, server_class=server_class).partition(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert b"Transfer-Encoding" not in first
        assert rest == CHUNKED
        assert separator

    def test_of_a_reset_form_is_told(self, serve: Serve) -> None:
        answer = exchange(serve, b"GET /205 HTTP/1.1\r\n\r\nGET /205/told HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\nHTTP/1.1 205")
        assert answer.endswith(b"\r\n\r\n")

    def test_is_the_handlers_business_if_it_says_so(self, serve: Serve) -> None:
        class Own(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"0\r\n\r\n")

            def do_POST(self) -> None:
                self.send_response_only(200)
                self._headers_buffer.append(b"content-length: 2\r\n")
                self.end_headers()
                self.wfile.write(b"ab")

        answer = exchange(serve, b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\n", Own)
        assert answer.endswith(b"chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")

    def test_of_an_interim_response_is_that_of_its_head(self, serve: Serve) -> None:
        class Hints(Writes):
            def do_GET(self) -> None:
                self.send_response_only(103)
                self.send_header("Link", "</style.css>")
                self.end_headers()
                super().do_GET()

        answer = exchange(serve, b"GET /200 HTTP/1.1\r\n\r\n", Hints)
        assert answer == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + CHUNKED

    def test_the_file_for_chunks_is_one(self, serve: Serve) -> None:
        found: list[Any] = []

        class Looks(Handler):
            def do_GET(self) -> None:
                stream = self.wfile
                self.send_response_only(200)
                self.end_headers()
                wfile = self.wfile
                wfile.writelines([b"a", b"b"])
                wfile.flush()
                wfile.close()
                found.append(isinstance(wfile, io.BufferedIOBase) and wfile is not stream)
                found.append(wfile.fileno() == self.connection.fileno())
                found.append((wfile.writable(), wfile.readable(), wfile.seekable(), wfile.isatty()))

        answer = exchange(serve, b"GET / HTTP/1.1\r\n\r\n", Looks)
        assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        assert found == [True, True, (True, False, False, False)]

    def test_a_program_may_put_a_file_of_its_own_on_top(self, serve: Serve) -> None:
        class Buffers(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile = io.BufferedWriter(self.wfile)
                self.wfile.write(b"hel")
                self.wfile.write(b"lo")

        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = exchange(serve, b"GET / HTTP/1.1\r\n\r\n" * 2, Buffers)
        assert answer == (head + b"5\r\nhello\r\n0\r\n\r\n") * 2

    def test_writes_are_sent_at_once(self, serve: Serve) -> None:
        class Waits(Handler):
            def do_POST(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(b"first")
                self.wfile.write(self.rfile.read())

        client = serve(ThreadingHTTPServer, Waits).client
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n")
        received = b""
        while not received.endswith(b"5\r\nfirst\r\n"):
            received += client.recv(100)
        client.sendall(b"second")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b"6\r\nsecond\r\n0\r\n\r\n"


class TestHeaders:
    def test_are_collected_and_sent_together(self) -> None:
        handler = Alone()
        assert not hasattr(handler, "_headers_buffer")
        handler.send_response_only(200)
        handler.send_header("Content-Type", "text/plain")
        handler.send_header("X-Number", 7)
        assert handler._headers_buffer == [
            b"HTTP/1.1 200 OK\r\n", b"Content-Type: text/plain\r\n", b"X-Number: 7\r\n",
        ]  # fmt: skip
        handler._headers_buffer[1] = b"Content-Type: text/html\r\n"
        assert handler.sent == b""
        handler.end_headers()
        assert handler.sent == b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Number: 7\r\n\r\n"
        assert handler._headers_buffer == []

    @pytest.mark.parametrize("text", ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b"])
    def test_hold_no_line_ends(self, text: str) -> None:
        handler = Alone()
        for name, value in (("X-Name", text), (text, "value")):
            with pytest.raises(ValueError, match="a header cannot hold line ends"):
                handler.send_header(name, value)
        assert not hasattr(handler, "_headers_buffer")

    def test_are_as_their_values_look(self) -> None:
        """Values that are equal may look different."""
        handler = Alone()
        for value in ("1", 1, True, 1.0, HTTPStatus.OK):
            handler.send_header("X", value)
        assert handler._headers_buffer == [
            f"X: {value}\r\n".encode() for value in ("1", "1", "True", "1.0", f"{HTTPStatus.OK}")
        ]

    def test_are_latin_1(self) -> None:
        handler = Alone()
        handler.send_header("X", "café")
        assert handler._headers_buffer == ["X: café\r\n".encode("latin-1")]
        with pytest.raises(UnicodeEncodeError):
            handler.send_header("X", "日本")

    def test_that_are_remembered_are_not_too_many(self) -> None:
        handler = Alone()
        for number in range(3000):
            handler.send_header("X", str(number))
            handler.send_header(f"X{number}", "1")
            handler.send_header("X", "x" * 1000)
        assert handler._headers_buffer[::3] == [b"X: %d\r\n" % number for number in range(3000)]
        known = sys.modules[ResponseHeadMixIn.__module__].known_lines
        assert all(len(values) <= 64 for values in known.values())
        assert len(known) <= 64
        assert "x" * 1000 not in known.get("X", {})

    @pytest.mark.parametrize(("value", "closes"), [("close", True), ("Close", True), ("Keep-Alive", False)])
    def test_of_the_connection_decide_about_it(self, value: str, closes: bool) -> None:
        handler = Alone()
        handler.close_connection = not closes
        handler.send_header("connection", value)
        assert handler.close_connection is closes
        handler.send_header("Connection", "x")
        assert handler.close_connection is closes

    def test_there_are_none_in_0_9(self) -> None:
        handler = Alone(version="HTTP/0.9")
        handler.send_response(200)
        handler.send_header("X", "y")
        handler.end_headers()
        assert handler.sent == b""
        assert not hasattr(handler, "_headers_buffer")


class TestStatusLine:
    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ((200,), b"HTTP/1.1 200 OK"),
            ((HTTPStatus.NOT_FOUND,), b"HTTP/1.1 404 Not Found"),
            ((404, "Gone fishing"), b"HTTP/1.1 404 Gone fishing"),
            ((999,), b"HTTP/1.1 999 "),
            ((500, "two\r\nlines\0"), b"HTTP/1.1 500 two  lines "),
        ],
    )
    def test_has_the_reason(self, arguments: Any, line: bytes) -> None:
        handler = Alone()
        handler.send_response_only(*arguments)
        assert handler._headers_buffer == [line + b"\r\n"]

    def test_reasons_are_the_programs_to_change(self) -> None:
        handler = Alone()
        handler.responses = {**handler.responses, 200: ("Fine", "")}  # type: ignore[misc]  # as programs do
        handler.send_response_only(200)
        assert handler._headers_buffer == [b"HTTP/1.1 200 Fine\r\n"]

    def test_is_followed_by_server_and_date(self) -> None:
        handler = Alone()
        before = int(time.time())
        handler.send_response(200)
        line, server, date = handler._headers_buffer
        assert line == b"HTTP/1.1 200 OK\r\n"
        assert re.fullmatch(rb"Server: BaseHTTP/0\.6 Python/3\.\d+\.\S+\r\n", server)
        said = parsedate_to_datetime(date.decode().partition(": ")[2]).timestamp()
        assert before <= said <= time.time()

    @pytest.mark.parametrize("version", [None, "", "Mine/1.0"])
    def test_the_server_may_call_itself_anything(self, version: str | None) -> None:
        handler = Alone()
        handler.server_version = version
        handler.sys_version = ""
        assert handler.version_string() == f"{version} "

    def test_dates_are_those_of_http(self) -> None:
        assert Alone().date_time_string(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
        assert Alone().date_time_string(1e9 + 0.9) == "Sun, 09 Sep 2001 01:46:40 GMT"


class TestErrors:
    def test_are_explained_and_close(self) -> None:
        handler = Alone()
        handler.send_error(404, "No <such> thing", "Look & see")
        head, _, body = handler.sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 404 No <such> thing\r\n")
        assert b"Connection: close\r\nContent-Type: text/html;charset=utf-8\r\nContent-Length: %d" % len(body) in head
        assert b"404" in body
        assert b"No &lt;such&gt; thing" in body
        assert b"Look &amp; see" in body
        assert handler.close_connection

    def test_of_any_status(self) -> None:
        handler = Alone()
        handler.send_error(799)
        assert handler.sent.startswith(b"HTTP/1.1 799 ???\r\n")

    @pytest.mark.parametrize("code", [102, 204, 205, 304])
    def test_without_a_body(self, code: int) -> None:
        handler = Alone()
        handler.send_error(code)
        assert handler.sent.endswith(b"Connection: close\r\n\r\n")

    def test_the_body_is_not_for_head(self) -> None:
        handler = Alone(command="HEAD")
        handler.send_error(404)
        assert handler.sent.endswith(b"\r\n\r\n")
        assert b"Content-Length: " in handler.sent

    def test_the_page_is_the_programs_to_change(self) -> None:
        handler = Alone()
        handler.error_message_format = '{"code": %(code)d, "message": "%(message)s", "more": "%(explain)s"}'
        handler.error_content_type = "application/json"
        handler.send_error(418)
        assert b"Content-Type: application/json\r\n" in handler.sent
        assert b'{"code": 418, "message": "' in handler.sent
