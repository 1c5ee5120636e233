"""What programs do that were written for the standard library's `http.server`, in the way that they do it."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import select
import socket
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.fetching import fetch
from tests.http.models import in_one_process


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# -- Bodies of requests ----------------------------------------------------------------------------------------------

DOCUMENT = b'{"a": [1, 2]}\n'


def through_text(stream: Any) -> Any:
    text = io.TextIOWrapper(stream, "utf-8")
    try:
        return text.read()
    finally:
        text.detach()


def into_a_buffer(stream: Any) -> bytes:
    buffer = bytearray(100)
    return bytes(buffer[: stream.readinto(buffer)])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("read", "found"),
    [
        (json.load, {"a": [1, 2]}),
        (through_text, DOCUMENT.decode()),
        (lambda stream: codecs.getreader("utf-8")(stream).read(), DOCUMENT.decode()),
        (lambda stream: io.BufferedReader(stream).read(), DOCUMENT),
        (lambda stream: list(iter(stream.readline, b"")), [DOCUMENT]),
        (into_a_buffer, DOCUMENT),
    ],
    ids=["json", "text", "codec", "buffered", "lines", "buffer"],
)
def test_rfile_is_handed_to_what_reads_files(
    read: Callable[[Any], Any], found: Any, chunked: bool, serve: Serve
) -> None:
    def do_POST(handler: Any) -> None:
        handler.answer(repr(read(handler.rfile)).encode())

    head = b"POST / HTTP/1.1\r\nConnection: close\r\n"
    if chunked:
        request = b"%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(DOCUMENT), DOCUMENT)
    else:
        request = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(DOCUMENT), DOCUMENT)
    answer = serve(ThreadingHTTPServer, type("Reads", (Handler,), {"do_POST": do_POST})).exchange(request)
    assert answer.partition(b"\r\n\r\n")[2] == repr(found).encode()


# -- Bodies of responses ---------------------------------------------------------------------------------------------


def write_archive(stream: Any) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("name", "content")


def read_archive(data: bytes) -> bytes:
    return zipfile.ZipFile(io.BytesIO(data)).read("name")


def write_tar(stream: Any) -> None:
    with tarfile.open(fileobj=stream, mode="w|gz") as archive:
        member = tarfile.TarInfo("name")
        member.size = 7
        archive.addfile(member, io.BytesIO(b"content"))


def read_tar(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile("name")
        assert member is not None
        return member.read()


def write_gzip(stream: Any) -> None:
    with gzip.GzipFile(fileobj=stream, mode="wb") as compressed:
        compressed.write(b"content")


def write_text(stream: Any) -> None:
    text = io.TextIOWrapper(stream, "utf-8", write_through=True)
    print("content", end="", file=text)
    text.detach()


def write_rows(stream: Any) -> None:
    csv.writer(codecs.getwriter("utf-8")(stream), lineterminator="").writerow(["content"])


@in_one_process
@pytest.mark.parametrize(
    ("write", "read"),
    [
        (write_archive, read_archive),
        (write_tar, read_tar),
        (write_gzip, gzip.decompress),
        (write_text, bytes),
        (write_rows, bytes),
    ],
)
def test_wfile_is_handed_to_what_writes_files(
    write: Callable[[Any], None], read: Callable[[bytes], bytes], server_class: Any, serve: Serve
) -> None:
    class Writes(Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            write(self.wfile)

    assert read(fetch(serve(server_class, Writes), "/").body) == b"content"


def test_what_is_answered_is_caught_and_changed(serve: Serve) -> None:
    class Catches(Handler):
        def do_GET(self) -> None:
            connection, self.wfile = self.wfile, io.BytesIO()
            try:
                self.answer(b"content")
                caught = self.wfile.getvalue()
            finally:
                self.wfile = connection
            self.wfile.write(caught.replace(b"content", b"CONTENT"))

    answer = serve(ThreadingHTTPServer, Catches).exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert answer.count(b"\r\n\r\nCONTENT") == 2


# -- Requests --------------------------------------------------------------------------------------------------------


class Parsed(BaseHTTPRequestHandler):
    """A request that was never on a connection."""

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.raw_requestline = self.rfile.readline()
        self.error_code: Any = None
        self.parse_request()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.error_code = code


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n", b"", b"\n\n"])
def test_a_request_is_parsed_without_a_connection(end: bytes) -> None:
    parsed = Parsed(b"GET /path?query HTTP/1.1\r\nHost: example.org\r\nAccept: a/b" + end)
    assert (parsed.error_code, parsed.command, parsed.path) == (None, "GET", "/path?query")
    assert parsed.headers.items() == [("Host", "example.org"), ("Accept", "a/b")]


def test_what_is_no_request_neither() -> None:
    assert Parsed(b"GET / x HTTP/1.1\r\n\r\n").error_code == 400


@in_one_process
def test_the_method_is_exchanged_for_one_request(server_class: Any, serve: Serve) -> None:
    """Bridges from WebSockets to other protocols look at the headers first, and then call what was there."""

    class Looks(Handler):
        def handle_one_request(self) -> None:
            vars(self)["do_GET"] = self.look
            try:
                super().handle_one_request()
            finally:
                vars(self).pop("do_GET", None)

        def look(self) -> None:
            del vars(self)["do_GET"]
            if self.headers.get("Upgrade") == "shouting":
                self.send_response(101)
                self.end_headers()
                self.wfile.flush()
                self.close_connection = True
                while data := self.request.recv(100):
                    self.request.sendall(data.upper())
            else:
                self.do_GET()

        def do_GET(self) -> None:
            self.answer(b"plain")

    served = serve(server_class, Looks)
    assert fetch(served, "/").body == b"plain"
    client = served.client
    client.sendall(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: shouting\r\n\r\n")
    with client.makefile("rb") as answer:
        while answer.readline() != b"\r\n":
            pass
        client.sendall(b"hello")
        assert answer.read(5) == b"HELLO"


# -- Proxies ---------------------------------------------------------------------------------------------------------


class Origin(Handler):
    def do_GET(self) -> None:
        self.answer(f"at {self.path}".encode())


class Tunnel(Handler):
    """What most proxies in Python do: a loop of select between two connections."""

    def do_CONNECT(self) -> None:
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port)), 30) as upstream:
            self.send_response(200, "Connection established")
            self.end_headers()
            both = [self.connection, upstream]
            while True:
                for readable in select.select(both, [], [], 30)[0]:
                    data = readable.recv(8192)
                    if not data:
                        return
                    (upstream if readable is self.connection else self.connection).sendall(data)


@pytest.mark.parametrize("rbufsize", [-1, 0])
@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_a_tunnel(rbufsize: int, server_class: Any, serve: Serve) -> None:
    host, port = serve(ThreadingHTTPServer, Origin).address
    client = serve(server_class, type("Sized", (Tunnel,), {"rbufsize": rbufsize})).client
    client.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    with client.makefile("rb") as answer:
        assert answer.readline() == b"HTTP/1.1 200 Connection established\r\n"
        while answer.readline() != b"\r\n":
            pass
        for path in (b"/one", b"/two"):
            client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            while answer.readline() != b"\r\n":
                pass
            assert answer.read(3 + len(path)) == b"at " + path
