"""The headers of a request, as the `http.client.HTTPMessage` that programs know."""

from __future__ import annotations

import email.parser
from collections.abc import Callable
from http.client import HTTPMessage
from typing import Any

__all__ = ["headers", "message_of"]

# What a message without headers is made of, in this Python.
_EMPTY = vars(email.parser.Parser(_class=HTTPMessage).parsestr("\r\n"))


def message_of(fields: list[tuple[str, str]], kind: Callable[..., Any] = HTTPMessage) -> Any:
    """Return a message with these headers, which it keeps as its own.

    `kind` may be a class of the program's own, which the parser of `email` fills then.
    """
    if kind is not HTTPMessage:
        text = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return email.parser.Parser(_class=kind).parsestr(text + "\r\n")
    message = HTTPMessage.__new__(HTTPMessage)
    message.__dict__ = {**_EMPTY, "_headers": fields, "defects": []}
    return message


def _headers_of(handler: Any) -> Any:
    message = handler._header_message
    if message is None:
        fields = handler._header_fields
        if fields is None:
            raise AttributeError(f"{type(handler).__name__!r} object has no attribute 'headers'")
        message = handler._header_message = message_of(fields, handler.MessageClass)
    return message


def _set_headers(handler: Any, message: Any) -> None:
    handler._header_message = message


#: The attribute `headers` of a handler: a message that is made of its `_header_fields` when it is first asked for. A
#: handler of which nobody asks for the headers of its requests is spared the making.
headers = property(_headers_of, _set_headers)
