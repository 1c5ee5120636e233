"""The headers of a request are a message of `http.client`, in all that programs do with one."""

from __future__ import annotations

import copy
import io
import pickle
from http.client import HTTPMessage, parse_headers
from typing import Any

import pytest

from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.messages import message_of

FIELDS = [("Host", "example"), ("X-Twice", "one"), ("Content-Type", "text/html; charset=utf-8"), ("x-twice", "two")]
LINES = b"".join(f"{name}: {value}\r\n".encode() for name, value in FIELDS) + b"\r\n"


def standard() -> HTTPMessage:
    return parse_headers(io.BytesIO(LINES))


def parsed(lines: bytes = LINES, kind: Any = None) -> Any:
    """Return a handler that has parsed a request."""
    handler = (kind or BaseHTTPRequestHandler).__new__(kind or BaseHTTPRequestHandler)
    handler.raw_requestline, handler.rfile = b"GET / HTTP/1.1\r\n", io.BytesIO(lines)
    assert handler.parse_request()
    return handler


QUESTIONS: dict[str, Any] = {
    "get": lambda message: (message.get("host"), message["HOST"]),
    "get what is missing": lambda message: (message.get("missing", 7), message["missing"]),
    "get_all": lambda message: (message.get_all("X-Twice"), message.get_all("missing")),
    "in": lambda message: ("host" in message, "missing" in message),
    "len": len,
    "iter": list,
    "str": str,
    "bytes": bytes,
    "items": lambda message: (message.keys(), message.values(), message.items()),
    "content type": lambda message: (message.get_content_type(), message.get_content_charset()),
    "parameter": lambda message: message.get_param("charset"),
    "payload": lambda message: (message.get_payload(), message.is_multipart()),
    "rest": lambda message: (message.defects, message.preamble, message.epilogue),
    "getallmatchingheaders": lambda message: message.getallmatchingheaders("x-twice"),
    "dict": dict,
    "type": type,
    "attributes": lambda message: vars(message).keys(),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_tells_what_a_parsed_one_tells(question: str) -> None:
    ask = QUESTIONS[question]
    assert ask(message_of(list(FIELDS))) == ask(standard())


def change_all(message: Any) -> Any:
    message["X-New"] = "new"
    del message["x-twice"]
    message.replace_header("Host", "other")
    message.add_header("X-More", "value", filename="a b")
    message.set_param("charset", "latin-1")
    return message.items()


def test_changes_as_a_parsed_one_does() -> None:
    assert change_all(message_of(list(FIELDS))) == change_all(standard())


def pickled(message: Any) -> Any:
    return pickle.loads(pickle.dumps(message))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_can_be_copied_and_pickled(copied: Any) -> None:
    message = copied(message_of(list(FIELDS)))
    assert type(message) is HTTPMessage
    assert message.items() == FIELDS


def test_two_have_nothing_in_common() -> None:
    one, other = message_of([]), message_of([])
    one["X"] = "y"
    one.defects.append(ValueError())
    assert (other.items(), other.defects) == ([], [])


def test_a_handler_makes_it_once() -> None:
    handler = parsed()
    assert handler.headers is handler.headers
    assert handler.headers.items() == FIELDS


def test_each_request_has_its_own() -> None:
    handler = parsed()
    first = handler.headers
    handler.rfile = io.BytesIO(b"X: y\r\n\r\n")
    assert handler.parse_request()
    assert handler.headers.items() == [("X", "y")]
    assert first.items() == FIELDS


def test_a_program_may_assign_it() -> None:
    handler = parsed()
    handler.headers = {"X": "y"}
    assert handler.headers == {"X": "y"}


def test_there_is_none_before_there_is_a_request() -> None:
    handler = BaseHTTPRequestHandler.__new__(BaseHTTPRequestHandler)
    assert not hasattr(handler, "headers")
    with pytest.raises(AttributeError, match="'BaseHTTPRequestHandler' object has no attribute 'headers'"):
        handler.headers  # noqa: B018  # the look-up is the point


def test_a_class_attribute_of_the_programs_own_does_no_harm() -> None:
    class Declares(BaseHTTPRequestHandler):
        headers: Any = None

    assert parsed(kind=Declares).headers.items() == FIELDS


def test_a_class_of_the_programs_own_is_filled() -> None:
    class Mine(HTTPMessage):
        pass

    class Handler(BaseHTTPRequestHandler):
        MessageClass = Mine

    headers = parsed(kind=Handler).headers
    assert type(headers) is Mine
    assert headers.items() == FIELDS
