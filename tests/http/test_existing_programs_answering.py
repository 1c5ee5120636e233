"""How programs answer that were written for the standard library's `http.server`: on the connection, or caught."""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import subprocess
import sys
from typing import Any

import pytest
import trustme

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.models import in_one_process
from tests.http.test_existing_programs import Handler, Parsed

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_stream_of_http_1_0_that_says_keep_alive_is_not_chunked(serve: Serve) -> None:
    """Cameras and streams of events under the default version do so (RFC 9112 section 6.1)."""

    class Streams(Handler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Connection", "keep-alive")
            self.end_headers()
            self.wfile.write(b"part")

    answer = serve(ThreadingHTTPServer, Streams).exchange(GET)
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\n\r\npart")


@in_one_process
def test_http_goes_on_within_a_tunnel(server_class: Any, serve: Serve) -> None:
    """Proxies that look into TLS answer CONNECT, wrap the connection, and go on with other files."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("origin").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    class Looks(Handler):
        def do_CONNECT(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb", self.rbufsize)
            self.wfile = self.connection.makefile("wb", self.wbufsize)
            self.close_connection = False

        def do_GET(self) -> None:
            self.answer(b"within")
            self.close_connection = True

        def finish(self) -> None:
            super().finish()
            self.connection.close()

    client = serve(server_class, Looks).connect()
    client.sendall(b"CONNECT origin:443 HTTP/1.1\r\nHost: origin:443\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    with trusting.wrap_socket(client, server_hostname="origin") as encrypted, encrypted.makefile("rb") as answer:
        encrypted.sendall(GET)
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        while answer.readline() != b"\r\n":
            pass
        assert answer.read(6) == b"within"


@pytest.mark.parametrize("line", [b"GET / x HTTP/1.1", b"nothing", b"GET / HTTP/2.0", b"GET / HTTP/x"])
def test_send_error_may_take_two_arguments(line: bytes) -> None:
    class Two(Parsed):
        def send_error(self, code: int, message: str) -> None:  # type: ignore[override]  # as such programs do
            self.error_code = code

    assert Two(line + b"\r\n\r\n").error_code in (400, 505)


def by_sendall(handler: Any) -> None:
    handler.request.sendall(b"hi")


def by_send(handler: Any) -> None:
    handler.connection.send(b"hi")


def by_message(handler: Any) -> None:
    handler.connection.sendmsg([b"h", b"i"])


def by_descriptor(handler: Any) -> None:
    os.write(handler.wfile.fileno(), b"hi")


def by_a_child(handler: Any) -> None:
    subprocess.run([sys.executable, "-c", "print('hi', end='')"], stdout=handler.wfile, check=True)


def by_another_file(handler: Any) -> None:
    with handler.connection.makefile("wb") as file:
        file.write(b"hi")


def by_a_copy(handler: Any) -> None:
    with handler.connection.dup() as copy:
        copy.sendall(b"hi")


@in_one_process
@pytest.mark.parametrize(
    "send",
    [
        by_sendall,
        by_send,
        by_message,
        by_descriptor,
        by_a_child,
        by_another_file,
        by_a_copy,
    ],
)
def test_what_is_sent_on_the_connection_itself_follows_the_head(send: Any, server_class: Any, serve: Serve) -> None:
    class Sends(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            send(self)

    answer = serve(server_class, Sends).exchange(GET * 2)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.count(b"\r\n\r\nhi") == 2


@in_one_process
def test_the_connection_may_be_shut_down_at_once(server_class: Any, serve: Serve) -> None:
    class Ends(Handler):
        def do_GET(self) -> None:
            self.answer(b"hi")
            self.connection.shutdown(socket.SHUT_WR)
            self.close_connection = True

    assert serve(server_class, Ends).exchange(GET).endswith(b"\r\n\r\nhi")


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"HEAD / HTTP/1.1"])
def test_what_is_caught_without_a_length(request_line: bytes, serve: Serve) -> None:
    class Catches(Handler):
        def do_GET(self) -> None:
            connection, self.wfile = self.wfile, io.BytesIO()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"content")
            caught = self.wfile.getvalue()
            self.wfile = connection
            self.wfile.write(caught)

        do_HEAD = do_GET

    answer = serve(ThreadingHTTPServer, Catches).exchange(request_line + b"\r\n\r\n")
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\n\r\ncontent")


def test_205_with_a_length_has_none(serve: Serve) -> None:
    """RFC 9110 section 15.3.6: it has no content, and clients wait for what its length says."""

    class Resets(Handler):
        def do_GET(self) -> None:
            self.send_response(205)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

    answer = serve(ThreadingHTTPServer, Resets).exchange(GET)
    assert answer.lower().count(b"content-length") == 1
    assert b"\r\nContent-Length: 0\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_an_error_205_has_no_length(serve: Serve) -> None:
    class Fails(Handler):
        def do_GET(self) -> None:
            self.send_error(205)

    answer = serve(ThreadingHTTPServer, Fails).exchange(GET)
    assert b"\r\nConnection: close\r\n" in answer
    assert b"Content-Length" not in answer


def test_several_lines_of_a_head_added_as_one(serve: Serve) -> None:
    class Adds(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self._headers_buffer.append(b"X-One: 1\r\nContent-Length: 2\r\n")
            self.end_headers()
            self.wfile.write(b"hi")

    assert b"Transfer-Encoding" not in serve(ThreadingHTTPServer, Adds).exchange(GET)


@in_one_process
@pytest.mark.parametrize("request_head", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])
def test_parts_of_a_body_have_heads(request_head: bytes, server_class: Any, serve: Serve) -> None:
    """Cameras make those of a `multipart/x-mixed-replace` by the same methods."""

    class Camera(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
            self.end_headers()
            for _ in range(2):
                self.wfile.write(b"--b\r\n")
                self.send_header("Content-Type", "image/jpeg")
                self.end_headers()
                self.wfile.write(b"jpeg\r\n")

    client = serve(server_class, Camera).connect()
    client.sendall(request_head)
    response = http.client.HTTPResponse(client)
    response.begin()
    assert response.read() == b"--b\r\nContent-Type: image/jpeg\r\n\r\njpeg\r\n" * 2
    response.close()


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
def test_upgrade_does_not_let_the_next_request_be_read(length: bytes, serve: Serve) -> None:
    class Reads(Handler):
        def do_POST(self) -> None:
            self.answer(b"[%b]" % self.rfile.read())

    request = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n" + length + b"\r\n"
    assert serve(ThreadingHTTPServer, Reads).exchange(request * 2).count(b"\r\n\r\n[]") == 2
