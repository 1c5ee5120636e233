"""`converse`: what a handler may do with a connection that exists in memory alone."""

from __future__ import annotations

import functools
import http.server
import io
import socket
import socketserver
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from doorkeep.testing import converse
from tests.sample_handlers import Upper, UpperDatagram


def handled(handle: Any, data: bytes = b"", base: Any = BaseRequestHandler) -> bytes:
    """Converse with a handler whose `handle` is the given function."""
    return converse(type("Handler", (base,), {"handle": handle}), data)


def test_reads_lines_and_writes() -> None:
    assert converse(Upper, b"one\ntwo") == b"ONE\nTWO"


def test_receives_and_sends_on_the_request() -> None:
    def handle(self: Any) -> None:
        while some := self.request.recv(3):
            self.request.sendall(some[::-1])

    assert handled(handle, b"abcdefgh") == b"cbafedhg"


def test_receives_ahead_of_the_file() -> None:
    def handle(self: Any) -> None:
        first = self.request.recv(4)
        self.wfile.write(first + b"|" + self.rfile.readline())

    assert handled(handle, b"headline\nmore", StreamRequestHandler) == b"head|line\n"


def test_peeks() -> None:
    def handle(self: Any) -> None:
        assert self.request.recv(2, socket.MSG_PEEK) == b"ab"
        self.request.sendall(self.request.recv(10))

    assert handled(handle, b"abc") == b"abc"


def test_receives_into_a_buffer() -> None:
    def handle(self: Any) -> None:
        buffer = bytearray(b"......")
        assert self.request.recv_into(buffer, 2) == 2
        assert self.request.recv_into(memoryview(buffer)[2:]) == 3
        self.request.sendall(buffer)

    assert handled(handle, b"abcde") == b"abcde."


def test_send_tells_how_much_it_took() -> None:
    def handle(self: Any) -> None:
        assert self.request.send(memoryview(b"hello")) == 5

    assert handled(handle) == b"hello"


def test_a_write_returns_its_length() -> None:
    def handle(self: Any) -> None:
        assert self.wfile.write(b"hello") == 5

    assert handled(handle, b"", StreamRequestHandler) == b"hello"


def test_a_buffered_writer_is_flushed_at_the_end() -> None:
    class Buffered(Upper):
        wbufsize = -1

    assert converse(Buffered, b"one\ntwo\n") == b"ONE\nTWO\n"


def test_an_unbuffered_reader_reads_no_further() -> None:
    class Unbuffered(StreamRequestHandler):
        rbufsize = 0

        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(self.request.recv(100))

    assert converse(Unbuffered, b"line\nrest") == b"rest"


def test_makes_a_file_for_both_directions() -> None:
    def handle(self: Any) -> None:
        with self.request.makefile("rwb") as file:
            file.write(file.readline().upper())

    assert handled(handle, b"one\ntwo\n") == b"ONE\n"


def test_makes_files_of_text() -> None:
    def handle(self: Any) -> None:
        with self.request.makefile(encoding="utf-8") as reader, self.request.makefile("w", encoding="utf-8") as writer:
            writer.write(reader.readline().upper())

    assert handled(handle, "zwölf\n".encode()) == "ZWÖLF\n".encode()


def test_text_cannot_be_unbuffered() -> None:
    def handle(self: Any) -> None:
        with pytest.raises(ValueError, match="must be binary"):
            self.request.makefile("r", 0)

    handled(handle)


def test_a_datagram_and_its_reply() -> None:
    assert converse(UpperDatagram, b"ping") == b"PING"


def test_a_datagram_for_a_bare_handler() -> None:
    class Bare(BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            sock.sendto(data.upper(), self.client_address)
            sock.sendto(b"!", 0, self.client_address)

    assert converse(Bare, b"ping", datagram=True) == b"PING!"


def test_a_datagram_handler_is_known_behind_a_partial() -> None:
    assert converse(functools.partial(UpperDatagram), b"ping") == b"PING"


def test_a_datagram_handler_may_be_told_that_it_has_a_stream() -> None:
    class Either(UpperDatagram):
        def setup(self) -> None:
            self.rfile, self.wfile = io.BytesIO(self.request.recv(10)), io.BytesIO()

        def finish(self) -> None:
            self.request.sendall(self.wfile.getvalue())

    assert converse(Either, b"ping", datagram=False) == b"PING"


def test_handlers_of_the_standard_library() -> None:
    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline().upper())

    class Datagram(socketserver.DatagramRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.packet.upper())

    assert converse(Stream, b"line\nmore") == b"LINE\n"
    assert converse(Datagram, b"ping") == b"PING"


def test_an_http_handler_of_the_standard_library() -> None:
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    answer = converse(Hello, b"GET /here HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n/here")


def test_server_and_client_address_are_handed_on() -> None:
    class Telling(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(f"{self.server.name} {self.client_address} {self.request.getpeername()}".encode())

    answer = converse(Telling, b"", client_address="somewhere", server=SimpleNamespace(name="me"))
    assert answer == b"me somewhere somewhere"


def test_what_the_handler_raises_is_raised() -> None:
    def handle(self: Any) -> None:
        raise LookupError("in the handler")

    with pytest.raises(LookupError, match="in the handler"):
        handled(handle)


def test_options_and_timeouts_are_taken() -> None:
    class Configured(StreamRequestHandler):
        timeout = 3
        disable_nagle_algorithm = True

        def handle(self) -> None:
            assert self.request.gettimeout() == 3
            self.request.setblocking(False)
            assert self.request.gettimeout() == 0
            self.request.setblocking(True)
            assert self.request.gettimeout() is None
            assert self.request.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert self.request.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR, 4) == b"\0\0\0\0"
            assert self.request.getsockname()[0] == "127.0.0.1"
            self.wfile.write(b"done")

    assert converse(Configured, b"") == b"done"


def test_there_is_no_descriptor() -> None:
    def handle(self: Any) -> None:
        for holder in (self.request, self.rfile, self.wfile):
            with pytest.raises(OSError, match="serving has one"):
                holder.fileno()

    handled(handle, b"", StreamRequestHandler)


def test_a_closed_connection_refuses_all() -> None:
    def handle(self: Any) -> None:
        with self.request:
            pass
        calls: list[Callable[[], object]] = [
            lambda: self.request.recv(1),
            lambda: self.request.recv_into(bytearray(1)),
            lambda: self.request.sendall(b"x"),
            lambda: self.request.makefile("rb"),
            lambda: self.request.shutdown(socket.SHUT_RD),
            lambda: self.request.getpeername(),
        ]
        for call in calls:
            with pytest.raises(OSError, match="Bad file descriptor"):
                call()

    assert handled(handle, b"data") == b""


def test_files_outlive_the_closed_connection() -> None:
    def handle(self: Any) -> None:
        self.request.close()
        with self.request_file:
            assert self.request_file.read() == b"data"

    class Keeping(BaseRequestHandler):
        def setup(self) -> None:
            self.request_file = self.request.makefile("rb")

    handled(handle, b"data", Keeping)


def test_nothing_is_sent_after_a_shutdown() -> None:
    def handle(self: Any) -> None:
        self.request.sendall(b"before")
        self.request.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            self.request.sendall(b"after")
        assert self.request.recv(100) == b"data"

    assert handled(handle, b"data") == b"before"


def test_nothing_is_read_after_a_shutdown() -> None:
    def handle(self: Any) -> None:
        self.request.shutdown(socket.SHUT_RD)
        self.request.sendall(b"<" + self.request.recv(100) + b">")

    assert handled(handle, b"data") == b"<>"


def test_an_empty_reply_is_no_bytes() -> None:
    assert converse(DatagramRequestHandler, b"ping") == b""
