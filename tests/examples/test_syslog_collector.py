"""The syslog collector."""

from __future__ import annotations

import json
import logging
import logging.handlers
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.programs import PATIENCE, Program, connect

RFC_5424 = b"<165>1 2003-10-11T22:14:15.003Z host app 42 ID47 - An application event"
RFC_3164 = b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed"


class Collector:
    """A running collector and its file."""

    def __init__(self, program: Program, output: Path) -> None:
        self.program = program
        self.output = output
        found = program.wait_for(r"UDP port (\d+), TCP port (\d+)")
        self.udp_port, self.tcp_port = int(found[1]), int(found[2])

    def collected(self, count: int) -> list[dict[str, Any]]:
        """Return the first `count` messages of the file, as soon as they are there."""
        deadline = time.monotonic() + PATIENCE
        while len(lines := self.output.read_text().splitlines(keepends=True)) < count or lines[-1][-1] != "\n":
            assert time.monotonic() < deadline, lines
            threading.Event().wait(0.01)
        assert len(lines) == count
        return [json.loads(line) for line in lines]

    def send(self, data: bytes) -> None:
        """Send bytes by TCP; return when the collector has taken all of them."""
        with connect(self.tcp_port) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    output = tmp_path / "syslog.jsonl"
    with Program("syslog_collector.py", "--port", 0, "--output", output) as program:
        yield Collector(program, output)


def test_collects_datagrams(collector: Collector) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", collector.udp_port))
        sock.send(RFC_5424)
        sock.send(RFC_3164)
    assert collector.collected(2) == [
        {
            "from": "127.0.0.1",
            "facility": "local4",
            "severity": "notice",
            "format": "RFC 5424",
            "message": "2003-10-11T22:14:15.003Z host app 42 ID47 - An application event",
        },
        {
            "from": "127.0.0.1",
            "facility": "auth",
            "severity": "crit",
            "format": "RFC 3164",
            "message": "Oct 11 22:14:15 mymachine su: 'su root' failed",
        },
    ]


def test_collects_what_logging_sends(collector: Collector) -> None:
    handler = logging.handlers.SysLogHandler(
        ("127.0.0.1", collector.udp_port), facility=logging.handlers.SysLogHandler.LOG_LOCAL7
    )
    try:
        handler.emit(logging.LogRecord("name", logging.WARNING, __file__, 1, "over %d°", (40,), None))
    finally:
        handler.close()
    (message,) = collector.collected(1)
    assert (message["facility"], message["severity"], message["message"]) == ("local7", "warning", "over 40°")


def test_both_framings_on_a_connection(collector: Collector) -> None:
    counted = b"%d %b" % (len(RFC_5424), RFC_5424)
    collector.send(counted + RFC_3164 + b"\n" + b"9 <0>a\nb\nc" + b"\n<191>last\r\n" + b"<7>without an end")
    found = [(message["facility"], message["severity"], message["message"]) for message in collector.collected(5)]
    assert found[0][2].endswith("An application event")
    assert found[1:] == [
        ("auth", "crit", "Oct 11 22:14:15 mymachine su: 'su root' failed"),
        ("kern", "emerg", "a\nb\nc"),
        ("local7", "debug", "last"),
        ("kern", "debug", "without an end"),
    ]


def test_a_byte_at_a_time(collector: Collector) -> None:
    with connect(collector.tcp_port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for byte in b"8 <1>four\n<2>x\n":
            connection.sendall(bytes([byte]))
        assert [message["message"] for message in collector.collected(2)] == ["four", "x"]


@pytest.mark.parametrize("message", [b"no priority", b"<>x", b"<192>x", b"<007>x", b"<1000>x", b"<-1>x"])
def test_no_priority_is_user_notice(collector: Collector, message: bytes) -> None:
    collector.send(message + b"\n")
    (found,) = collector.collected(1)
    assert (found["facility"], found["severity"], found["message"]) == ("user", "notice", message.decode())


@pytest.mark.parametrize(
    "garbage",
    [b"0 ", b"12x", b"99999 x", b"999999999999 ", b"5 abc", b"12", b"<1>" + b"x" * 70_000 + b"\n"],
    ids=["zero", "no space", "too long", "very long", "cut short", "only a length", "line without end"],
)
def test_what_has_no_frame_ends_that_connection_only(collector: Collector, garbage: bytes) -> None:
    with connect(collector.tcp_port) as other:
        with connect(collector.tcp_port) as connection:
            connection.sendall(b"<1>before\n" + garbage)
            connection.shutdown(socket.SHUT_WR)
            collector.program.wait_for("127.0.0.1 sent ")
        other.sendall(b"<1>after\n")
        assert [message["message"] for message in collector.collected(2)] == ["before", "after"]


def test_message_cannot_pass_for_two_lines(collector: Collector) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b'<1>one\n{"facility": "auth"}\x1b', ("127.0.0.1", collector.udp_port))
    (message,) = collector.collected(1)
    assert message["message"] == 'one\n{"facility": "auth"}\x1b'
    assert "\x1b" not in collector.output.read_text()
