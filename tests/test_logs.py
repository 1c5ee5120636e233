"""Events as lines of a log."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep import (
    BaseRequestHandler,
    SettingError,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
    events,
    logs,
)
from doorkeep.events import ConnectionStarted, ConnectionStopped, Event
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import Upper

CLIENT = ("192.0.2.1", 5000)
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "


class Failing(BaseRequestHandler):
    def handle(self) -> None:
        raise LookupError("not\nhere")


class At:
    """Stands for a server at an address."""

    def __init__(self, server_class: type[TCPServer], server_address: Any) -> None:
        self.address_family = server_class.address_family
        self.socket_type = server_class.socket_type
        self.server_address = server_address


AT_PORT: Any = At(TCPServer, ("127.0.0.1", 9999))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged in, whatever the test configures; all is undone after it."""
    before = vars(logging.getLogger("doorkeep")).copy()
    yield io.StringIO()
    after = vars(logging.getLogger("doorkeep"))
    assert {name: after[name] for name in ("level", "propagate", "handlers")} == {
        name: before[name] for name in ("level", "propagate", "handlers")
    }
    assert all(kind.listeners == () for kind in Event.__subclasses__())


def test_a_connection_is_a_line(serve: Serve, stream: io.StringIO) -> None:
    undo = logs.configure(stream=stream)
    served = serve(ThreadingTCPServer, Upper)
    assert served.exchange(b"hello\n") == b"HELLO\n"
    served.server.drain(30)
    undo()
    url = re.escape(f"tcp://127.0.0.1:{served.server.server_address[1]}")
    assert re.search(rf"{TIME}INFO server started server={url}\n", stream.getvalue())
    (line,) = (line for line in stream.getvalue().splitlines() if "connection" in line)
    assert re.search(
        rf"{TIME}INFO connection stopped server={url} client=127\.0\.0\.1:\d+ seconds=[\d.e-]+"
        r" received=6 sent=6 round_trip_time=[\d.e-]+$",
        line,
    )


def test_a_failure_is_a_line(serve: Serve, stream: io.StringIO) -> None:
    undo = logs.configure(level="error", stream=stream)
    assert serve(TCPServer, Failing).exchange(b"") == b""
    undo()
    (line,) = stream.getvalue().splitlines()
    assert re.search(
        rf"{TIME}ERROR request from 127\.0\.0\.1:\d+ failed: LookupError: not\\nhere"
        r" \(.*test_logs\.py, line \d+, in handle\)$",
        line,
    )


def test_the_traceback_of_a_failure_follows_its_line_at_debug(serve: Serve, stream: io.StringIO) -> None:
    undo = logs.configure(level="debug", stream=stream)
    assert serve(TCPServer, Failing).exchange(b"") == b""
    undo()
    assert "in handle)\nTraceback (most recent call last):\n" in stream.getvalue()


def test_json(serve: Serve, stream: io.StringIO) -> None:
    undo = logs.configure(level="debug", format="json", stream=stream)
    served = serve(TCPServer, Failing)
    assert served.exchange(b"") == b""
    served.server.drain(30)
    undo()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    started = next(line for line in lines if line.get("event") == "connection_started")
    assert started.keys() == {"time", "level", "logger", "event", "server", "client"}
    assert (started["level"], started["logger"]) == ("debug", "doorkeep.events")
    failed = next(line for line in lines if line["level"] == "error")
    assert failed["message"] == f"request from {started['client']} failed"
    assert failed["error"] == "LookupError: not\nhere"
    assert failed["traceback"].startswith("Traceback (most recent call last):\n")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ConnectionStopped(AT_PORT, CLIENT, 1.23456789, None, 7, None), "seconds=1.234568 sent=7"),
        (events.RequestRefused(AT_PORT, CLIENT, "host limit"), 'client=192.0.2.1:5000 reason="host limit"'),
        (events.RequestRefused(AT_PORT, CLIENT, 'a"b\n=c'), r'reason="a\"b\n=c"'),
        (
            events.DeadlinePassed(AT_PORT, ("::1", 5, 0, 0), "idle_timeout", 2.0),
            "client=[::1]:5 setting=idle_timeout seconds=2.0",
        ),
        (events.HandshakeFailed(AT_PORT, CLIENT, OSError("reset")), 'error="OSError: reset"'),
        (events.CertificateReloaded(AT_PORT, ""), 'path=""'),
        (events.CertificateReloaded(AT_PORT, "a\u2028b\x85"), r'path="a\u2028b\x85"'),
    ],
)
def test_fields_as_text(event: Event, line: str, stream: io.StringIO) -> None:
    undo = logs.configure(stream=stream)
    event.emit()
    undo()
    assert stream.getvalue().endswith(f" {line}\n")
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("server_class", "address", "url"),
    [
        (TCPServer, ("::1", 80, 0, 0), "tcp://[::1]:80"),
        (UDPServer, ("127.0.0.1", 53), "udp://127.0.0.1:53"),
        (UnixStreamServer, "/run/echo", "unix:/run/echo"),
        (UnixDatagramServer, b"\0log", "unixgram:@log"),
    ],
)
def test_servers_are_named_by_their_address(
    server_class: type[TCPServer], address: Any, url: str, stream: io.StringIO
) -> None:
    undo = logs.configure(stream=stream)
    server: Any = At(server_class, address)
    events.ServerStarted(server).emit()
    undo()
    assert stream.getvalue().endswith(f" INFO server started server={url}\n")


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", {"connection started", "connection stopped", "datagram truncated", "certificate reload failed"}),
        ("info", {"connection stopped", "datagram truncated", "certificate reload failed"}),
        ("warning", {"datagram truncated", "certificate reload failed"}),
        ("error", {"certificate reload failed"}),
    ],
)
def test_levels(level: logs.Level, logged: set[str], stream: io.StringIO) -> None:
    undo = logs.configure(level, stream=stream)
    assert bool(ConnectionStarted.listeners) is (level == "debug")  # what is not logged is not made
    ConnectionStarted(AT_PORT, CLIENT).emit()
    ConnectionStopped(AT_PORT, CLIENT, 1.0, None, None, None).emit()
    events.DatagramTruncated(AT_PORT, CLIENT, 5).emit()
    events.CertificateReloadFailed(AT_PORT, "x", SettingError("no")).emit()
    undo()
    assert set(re.findall(r"Z [A-Z]+ (.*?) server=", stream.getvalue())) == logged


def test_failures_are_told_once(stream: io.StringIO) -> None:
    undo = logs.configure("debug", stream=stream)
    assert events.RequestFailed.listeners == ()  # `handle_error` logs them
    undo()


def test_undo_ends_it(stream: io.StringIO) -> None:
    logs.configure(stream=stream)()
    events.ServerStarted(AT_PORT).emit()
    logging.getLogger("doorkeep.server").error("after")
    assert stream.getvalue() == ""


def test_stderr_is_looked_up_when_configured(capsys: pytest.CaptureFixture[str], stream: io.StringIO) -> None:
    undo = logs.configure()
    events.ServerStarted(AT_PORT).emit()
    undo()
    assert capsys.readouterr().err.endswith("INFO server started server=tcp://127.0.0.1:9999\n")


def test_other_loggers_are_left_alone(stream: io.StringIO) -> None:
    undo = logs.configure(stream=stream)
    logging.getLogger("somebody.else").error("mine")
    undo()
    assert stream.getvalue() == ""


def test_records_for_programs_that_configure_logging_themselves(
    caplog: pytest.LogCaptureFixture, stream: io.StringIO
) -> None:
    caplog.set_level("INFO")
    end = logs.record_events("info")
    ConnectionStarted(AT_PORT, CLIENT).emit()
    events.ServerStarted(AT_PORT).emit()
    end()
    events.ServerStopped(AT_PORT).emit()
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("doorkeep.events", "server started server=tcp://127.0.0.1:9999")
    ]


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"level": "loud"}, "level must be"), ({"format": "xml"}, "format")]
)
def test_refuses_what_does_not_exist(settings: dict[str, Any], sentence: str, stream: io.StringIO) -> None:
    with pytest.raises(SettingError, match=sentence):
        logs.configure(**settings, stream=stream)


def test_each_event_is_json(stream: io.StringIO) -> None:
    undo = logs.configure(format="json", stream=stream)
    events.CertificateReloadFailed(AT_PORT, "server.pem", SettingError("no key")).emit()
    events.RequestRefused(AT_PORT, "", "verify").emit()
    undo()
    failed, refused = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (failed["event"], failed["path"], failed["error"]) == (
        "certificate_reload_failed",
        "server.pem",
        "doorkeep.errors.SettingError: no key",
    )
    assert (refused["client"], refused["reason"]) == ("unnamed", "verify")
