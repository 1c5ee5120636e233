"""The clock of server-sent events."""

from __future__ import annotations

import re
import signal

from tests.examples.programs import Program, connect

TICK = re.compile(rb"event: tick\nid: \d+\nretry: 2000\ndata: \d\d:\d\d:\d\d\n\n")


def test_it_ticks_and_ends_although_a_page_is_open() -> None:
    with (
        Program("web_clock.py", "--port", 0, ended_by=signal.SIGINT) as program,
        connect(program.port()) as client,
        client.makefile("rb") as file,
    ):
        client.sendall(b"GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 7\r\n\r\n")
        assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in iter(file.readline, b"\r\n")
        while file.readline() != b"\r\n":
            pass
        assert file.readline() == b": welcome back, the last that you saw was 7\n"
        assert file.readline() == b"\n"
        ticks = b"".join(file.readline() for _ in range(10))
        assert TICK.sub(b"", ticks) == b""
        program.end()


def test_the_page() -> None:
    with Program("web_clock.py", "--port", 0) as program, connect(program.port()) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        with client.makefile("rb") as file:
            answered = file.read()
    assert b'new EventSource("/events")' in answered
    assert b"HTTP/1.1 404 Not Found\r\n" in answered
