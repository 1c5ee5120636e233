"""Server-sent events: their format, and the end when the client has gone."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doorkeep import events
from doorkeep.http.event_stream import EventStream, StreamEnded
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing import converse, events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.http.encryption import encrypted
from tests.http.models import in_one_process, on_every_model

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def handler_of(body: Callable[[EventStream], None], **options: Any) -> type[BaseHTTPRequestHandler]:
    """Return a handler that answers with the events that a function sends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        ended: queue.Queue[str] = queue.Queue()

        def do_GET(self) -> None:
            with EventStream(self, **options) as stream:
                body(stream)
                self.ended.put("by itself")
                return
            self.ended.put("from outside")

    return Handler


def sent(body: Callable[[EventStream], None], request_headers: str = "", **options: Any) -> tuple[str, str]:
    """Return head and body of a response, in memory."""
    request = f"GET / HTTP/1.1\r\n{request_headers}\r\n".encode()
    head, _, rest = converse(handler_of(body, **options), request).partition(b"\r\n\r\n")
    return head.decode(), rest.decode()


def test_the_head() -> None:
    head, body = sent(lambda stream: None, headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"})
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert set(lines[3:]) == {
        "Content-Type: text/event-stream; charset=utf-8",
        "Cache-Control: no-cache",
        "X-Accel-Buffering: no",
        "Connection: close",
        "Access-Control-Allow-Origin: *",
    }
    assert body == ""


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"data": "hello"}, "data: hello\n\n"),
        ({"data": ""}, "data: \n\n"),
        ({}, "data: \n\n"),
        ({"data": "one\ntwo\r\nthree\rfour\n"}, "data: one\ndata: two\ndata: three\ndata: four\ndata: \n\n"),
        ({"data": " grüß\u2028\x85"}, "data:  grüß\u2028\x85\n\n"),
        (
            {"data": "x", "event": "tick", "id": "7", "retry": 1.5},
            "event: tick\nid: 7\nretry: 1500\ndata: x\n\n",
        ),
        ({"data": "x", "id": ""}, "id: \ndata: x\n\n"),
        ({"data": "x", "retry": 0}, "retry: 0\ndata: x\n\n"),
    ],
)
def test_events(arguments: dict[str, Any], lines: str) -> None:
    assert sent(lambda stream: stream.send(**arguments))[1] == lines


@pytest.mark.parametrize(
    "arguments", [{"event": "a\nb"}, {"event": "a\rb"}, {"id": "a\nb"}, {"id": "a\r\nb"}, {"id": "a\0"}]
)
def test_what_would_be_another_line_is_refused(arguments: dict[str, Any]) -> None:
    def body(stream: EventStream) -> None:
        with pytest.raises(ValueError, match=r"id|type"):
            stream.send("x", **arguments)

    assert sent(body)[1] == ""


def test_comments() -> None:
    assert sent(lambda stream: stream.comment())[1] == ": \n\n"
    assert sent(lambda stream: stream.comment("a\nb"))[1] == ": a\n: b\n\n"


def test_last_event_id() -> None:
    found: list[str | None] = []
    sent(lambda stream: found.append(stream.last_event_id))
    sent(lambda stream: found.append(stream.last_event_id), "Last-Event-ID: 7\r\n")
    sent(lambda stream: found.append(stream.last_event_id), "Last-Event-ID: grüß\r\n")
    assert found == [None, "7", "grüß"]


def test_other_exceptions_leave_the_block() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with pytest.raises(BrokenPipeError), EventStream(self):
                raise BrokenPipeError
            with pytest.raises(StreamEnded), EventStream(self), EventStream(self) as inner:
                raise StreamEnded("of another")
            del inner

    converse(Handler, GET)


@on_every_model
def test_events_come_as_they_are_sent(server_class: Any, serve: Serve) -> None:
    def body(stream: EventStream) -> None:
        stream.send("first")
        stream._handler.rfile.fileno()
        assert stream._handler.connection.recv(1) == b"!"  # the test has read it
        stream.send("second")

    client = serve(server_class, handler_of(body)).connect()
    client.sendall(GET)
    with client.makefile("rb") as file:
        assert b"".join(iter(file.readline, b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert file.readline() == b"data: first\n"
        client.sendall(b"!")
        assert file.read() == b"\ndata: second\n\n"


@in_one_process
def test_a_client_that_goes_while_it_is_waited(server_class: Any, serve: Serve) -> None:
    def body(stream: EventStream) -> None:
        stream.send("hello")
        stream.wait(1000)

    handler: Any = handler_of(body)
    with events_of(events.RequestFailed) as recorder:
        client = serve(server_class, handler).connect()
        client.sendall(GET)
        with client.makefile("rb") as file:
            assert b"data: hello\n" in iter(file.readline, b"")
        client.close()
        assert handler.ended.get(timeout=30) == "from outside"
        assert recorder == []


@in_one_process
def test_a_client_that_goes_while_events_are_sent(server_class: Any, serve: Serve) -> None:
    def body(stream: EventStream) -> None:
        while True:
            stream.send("x" * 100_000)

    handler: Any = handler_of(body)
    client = serve(server_class, handler).connect()
    client.sendall(GET)
    assert client.recv(10)
    client.close()
    assert handler.ended.get(timeout=30) == "from outside"


@in_one_process
def test_waiting_keeps_the_connection_alive(server_class: Any, serve: Serve) -> None:
    def body(stream: EventStream) -> None:
        before = stream._handler.connection.gettimeout()
        begun = stream._last_sent
        while stream._last_sent == begun:  # while a slow machine stands still, none is sent
            stream.wait(0.05)
        assert stream._handler.connection.gettimeout() == before
        stream.wait(0)
        stream.wait(-1)
        stream.send("end")

    client = serve(server_class, handler_of(body, keep_alive=0.005)).connect()
    client.sendall(GET + b"more, that nobody wants")
    with client.makefile("rb") as file:
        received = file.read().partition(b"\r\n\r\n")[2]
    assert received.startswith(b": \n\n")
    assert received.endswith(b"data: end\n\n")


def test_waiting_without_keeping_alive(serve: Serve) -> None:
    def body(stream: EventStream) -> None:
        began = time.monotonic()
        stream.wait(0.02)
        assert time.monotonic() - began >= 0.02
        stream.send("end")

    client = serve(ThreadingHTTPServer, handler_of(body, keep_alive=None)).connect()
    client.sendall(GET)
    with client.makefile("rb") as file:
        assert file.read().partition(b"\r\n\r\n")[2] == b"data: end\n\n"


def test_a_connection_that_is_reset(serve: Serve) -> None:
    import socket
    import struct

    handler: Any = handler_of(lambda stream: stream.wait(1000))
    client = serve(ThreadingHTTPServer, handler).connect()
    client.sendall(GET)
    assert client.recv(10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(client)
    assert handler.ended.get(timeout=30) == "from outside"


@in_one_process
def test_tls(server_class: Any, serve: Serve, tmp_path: Path) -> None:
    certificate, context = encrypted(tmp_path)

    def body(stream: EventStream) -> None:
        stream.send("hello")
        stream.wait(1000)

    handler: Any = handler_of(body)
    served = serve(server_class, handler, tls_certificate=certificate)
    with context.wrap_socket(served.connect(), server_hostname="localhost") as client:
        client.sendall(GET)
        with client.makefile("rb") as file:
            assert b"data: hello\n" in iter(file.readline, b"")
    assert handler.ended.get(timeout=30) == "from outside"


class TestDrains:
    """The client finds the end of the response, and the server has none to cut."""

    @on_every_model
    def test_end_what_waits(self, server_class: Any, serve: Serve) -> None:
        def body(stream: EventStream) -> None:
            stream.send("hello")
            stream.wait(1000)

        served = serve(server_class, handler_of(body))
        client = served.connect()
        client.sendall(GET)
        with client.makefile("rb") as file:
            assert b"data: hello\n" in iter(file.readline, b"")
            drain = Background(served.server.drain, 60)
            assert file.read() == b"\n"
        client.close()
        assert drain.result(90) == 0

    @in_one_process
    def test_end_what_sends(self, server_class: Any, serve: Serve) -> None:
        def body(stream: EventStream) -> None:
            while True:
                stream.send("x" * 1000)

        handler: Any = handler_of(body)
        served = serve(server_class, handler)
        client = served.connect()
        client.sendall(GET)
        with client.makefile("rb") as file:
            first = next(line for line in file if line.startswith(b"data: "))
            drain = Background(served.server.drain, 60)
            assert (first + file.read()).endswith(b"x\n\n")
        assert handler.ended.get(timeout=30) == "from outside"
        assert drain.result(90) == 0

    @in_one_process
    def test_end_what_begins(self, server_class: Any, serve: Serve) -> None:
        class Begins(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read()
                with EventStream(self) as stream:
                    stream.send("for nobody")

        served = serve(server_class, Begins)
        client = served.connect()
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        with client.makefile("rb") as file:
            assert file.readline().startswith(b"HTTP/1.1 100 ")
            drain = Background(served.server.drain, 60)
            assert eventually(lambda: served.server._drain_begun)
            client.sendall(b"x")
            assert file.read().endswith(b"\r\n\r\n")
        assert drain.result(90) == 0

    @in_one_process
    def test_end_them_under_tls(self, server_class: Any, serve: Serve, tmp_path: Path) -> None:
        certificate, context = encrypted(tmp_path)

        def body(stream: EventStream) -> None:
            stream.send("hello")
            stream.wait(1000)

        served = serve(server_class, handler_of(body), tls_certificate=certificate)
        connection = context.wrap_socket(served.connect(), server_hostname="localhost", suppress_ragged_eofs=False)
        with connection as client:
            client.sendall(GET)
            with client.makefile("rb") as file:
                assert b"data: hello\n" in iter(file.readline, b"")
                drain = Background(served.server.drain, 60)
                assert file.read() == b"\n"  # and no error: the server has said goodbye
        assert drain.result(90) == 0
