"""Events as lines of a log, through the standard `logging`.

    undo = configure("info", format="json")

One line an event, one a failure. The traceback of a failure is in its line as JSON; as text it follows the line
where the level is "debug", and otherwise the line says what was raised and where.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal, TextIO, get_args

from doorkeep import events
from doorkeep.addresses import AF_UNIX, format_address
from doorkeep.errors import SettingError
from doorkeep.events import Event

__all__ = ["FORMATS", "LEVELS", "Format", "Level", "configure", "record_events"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["text", "json"]
LEVELS: tuple[Level, ...] = get_args(Level)
FORMATS: tuple[Format, ...] = get_args(Format)

logger = logging.getLogger("doorkeep.events")

# Those that are not here are INFO.
_LEVEL_OF: dict[type[Event], int] = {
    events.ConnectionStarted: logging.DEBUG,
    events.ConnectionReady: logging.DEBUG,
    # A server at its limit does both with every request; of pauses after errors the server logs a warning.
    events.ListenerSuspended: logging.DEBUG,
    events.ListenerResumed: logging.DEBUG,
    events.AcceptFailed: logging.DEBUG,
    events.DatagramTruncated: logging.WARNING,
    events.HubBlocked: logging.WARNING,
    events.RateLimitFailed: logging.WARNING,
    events.CertificateReloadFailed: logging.ERROR,
}
# `handle_error` reports it, with its traceback.
_LEFT_OUT = {events.RequestFailed}

# What would break a line, or a terminal: control characters, and what Unicode counts as ends of lines.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PLAIN_VALUE = re.compile(r"[^\s\"=]+")


def configure(level: Level = "info", format: Format = "text", stream: TextIO | None = None) -> Callable[[], None]:
    """Write a line to `stream`, or to the present `sys.stderr`, for each event and whatever doorkeep logs.

    Lines of text begin with the time (UTC) and the level; as JSON each is an object with "time", "level",
    "logger", and either "event" and the event's fields or "message". Nothing below `level` is written. Such
    records do not reach the handlers of the root logger any more. Leaves all other loggers alone.

    Returns a function that undoes it. Raises `SettingError` for a level or format that does not exist.
    """
    if format not in FORMATS:
        raise SettingError(f"format must be {' or '.join(FORMATS)}, not {format!r}")
    stop_recording = record_events(level)
    root = logging.getLogger("doorkeep")
    before = root.level, root.propagate
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(_JSONLine() if format == "json" else _TextLine(with_traceback=level == "debug"))
    root.addHandler(handler)
    root.setLevel(level.upper())
    root.propagate = False

    def undo() -> None:
        stop_recording()
        root.removeHandler(handler)
        root.level, root.propagate = before
        root.setLevel(root.level)  # also tells the loggers below, which remember it

    return undo


def record_events(level: Level = "info") -> Callable[[], None]:
    """Make a record of the logger `doorkeep.events` of each event that is worth `level` or more.

    For programs that configure `logging` themselves: adds no handler, and changes no logger's level. Events that
    are worth less are not even made. Returns a function that ends it. Raises `SettingError` for a level that
    does not exist.
    """
    if level not in LEVELS:
        raise SettingError(f"level must be {', '.join(LEVELS[:-1])} or {LEVELS[-1]}, not {level!r}")
    least = logging.getLevelName(level.upper())
    kinds = [kind for kind in Event.__subclasses__() if kind not in _LEFT_OUT and _level_of(kind) >= least]
    return events.subscribe(_record, *kinds) if kinds else lambda: None


def _record(event: Event) -> None:
    level = _level_of(type(event))
    if logger.isEnabledFor(level):
        logger.log(level, "%s", _EventText(event), extra={"doorkeep_event": event})


def _level_of(kind: type[Event]) -> int:
    return _LEVEL_OF.get(kind, logging.INFO)


class _EventText:
    """An event as text, made only for those who want it: `connection stopped client=127.0.0.1:5000 seconds=0.1`."""

    def __init__(self, event: Event) -> None:
        self._event = event

    def __str__(self) -> str:
        fields = {name: value for name, value in _fields_of(self._event).items() if value is not None}
        fields.pop("stack", None)  # many lines
        pairs = (f"{name}={_quoted(value)}" for name, value in fields.items())
        return " ".join([_name_of(self._event).replace("_", " "), *pairs])


class _TextLine(logging.Formatter):
    """A record as a line for people."""

    def __init__(self, with_traceback: bool) -> None:
        super().__init__()
        self._with_traceback = with_traceback

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time_of(record)} {record.levelname} {record.getMessage()}"
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return _printable(line)
        line = _printable(f"{line}: {_described(error)}{_place_of(error)}")
        return f"{line}\n{_traceback_of(error)}" if self._with_traceback else line


class _JSONLine(logging.Formatter):
    """A record as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        event = getattr(record, "doorkeep_event", None)
        if event is not None:
            line |= {"event": _name_of(event), **_fields_of(event)}
        else:
            line["message"] = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": _described(error), "traceback": _traceback_of(error)}
        return json.dumps(line)


def _name_of(event: Event) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()


def _fields_of(event: Event) -> dict[str, Any]:
    """Return what an event says, by names and values that JSON has."""
    found: dict[str, Any] = {"server": _server_url(event.server)}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name == "server":
            continue
        if field.name == "client_address":
            found["client"] = None if value is None else format_address(value)
        elif isinstance(value, BaseException):
            found[field.name] = _described(value)
        elif isinstance(value, float):
            found[field.name] = round(value, 6)
        else:
            found[field.name] = value if isinstance(value, (int, str, type(None))) else str(value)
    return found


def _server_url(server: Any) -> str:
    datagrams = getattr(server, "socket_type", None) == socket.SOCK_DGRAM
    if AF_UNIX is not None and getattr(server, "address_family", None) == AF_UNIX:
        return format_address(server.server_address, "unixgram" if datagrams else "unix")
    return format_address(server.server_address, "udp" if datagrams else "tcp")


def _time_of(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03d}Z"


def _described(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip()


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""


def _traceback_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)
