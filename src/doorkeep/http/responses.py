"""Responses: the status line, the headers, and how the body that follows is told from the next response."""

from __future__ import annotations

import email.utils
import html
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from doorkeep.http.exchanges import Exchanges
    from doorkeep.http.handler import BaseHTTPRequestHandler

__all__ = ["DEFAULT_ERROR_CONTENT_TYPE", "DEFAULT_ERROR_MESSAGE", "ResponseMixIn"]

DEFAULT_ERROR_MESSAGE = """\
<!DOCTYPE html>
<html lang="en">
    <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <style>:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }</style>
        <title>Error response</title>
    </head>
    <body>
        <h1>Error response</h1>
        <p>Error code: %(code)d</p>
        <p>Message: %(message)s.</p>
        <p>Error code explanation: %(code)s - %(explain)s.</p>
    </body>
</html>
"""
DEFAULT_ERROR_CONTENT_TYPE = "text/html;charset=utf-8"

# What would end a header and begin another (RFC 9110 section 5.5).
_LINE_ENDS = str.maketrans("\r\n\0", "   ")
_UNKNOWN = ("", "")
_NO_CONTENT = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED)


class ResponseMixIn:
    """The methods of a request handler that answer."""

    server_version: Any
    sys_version: Any
    error_message_format = DEFAULT_ERROR_MESSAGE
    error_content_type = DEFAULT_ERROR_CONTENT_TYPE
    protocol_version = "HTTP/1.0"
    responses: ClassVar[dict[Any, tuple[str, str]]] = {
        status: (status.phrase, status.description) for status in HTTPStatus
    }

    if TYPE_CHECKING:
        server: Any
        wfile: Any
        command: Any
        request_version: str
        close_connection: bool
        _headers_buffer: list[bytes]

        def log_request(self, code: Any = "-", size: Any = "-") -> None: ...
        def log_error(self, format: str, *args: Any) -> None: ...

    # None until `handle_one_request` has been called.
    _exchanges: Exchanges | None = None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error and a page that explains it, log it, and close the connection after this response.

        `message` is the reason in the status line, `explain` a longer text; both are by default those of `responses`.
        To be called before anything else was sent.
        """
        short, long = self.responses.get(code, ("???", "???"))
        if message is None:
            message = short
        if explain is None:
            explain = long
        self.log_error("code %d, message %s", code, message)
        self.send_response(code, message)
        self.send_header("Connection", "close")
        body = None
        if code >= 200 and code not in _NO_CONTENT:
            texts = {"message": html.escape(message, quote=False), "explain": html.escape(explain, quote=False)}
            body = (self.error_message_format % {"code": code, **texts}).encode("UTF-8", "replace")
            self.send_header("Content-Type", self.error_content_type)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and body:
            self.wfile.write(body)

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin a response: log the request, and put the status line and the headers Server and Date together."""
        self.log_request(code)
        self.send_response_only(code, message)
        self.send_header("Server", self.version_string())
        self.send_header("Date", self.date_time_string())

    def send_response_only(self, code: int, message: str | None = None) -> None:
        """Begin a response with the status line alone.

        The reason is by default that of `responses`. It may have no line ends, and gets spaces for them.
        """
        exchanges = self._exchanges
        if exchanges is not None:
            exchanges.status, exchanges.is_delimited = code, False
        if self.request_version != "HTTP/0.9":
            if message is None:
                message = self.responses.get(code, _UNKNOWN)[0]
            self._add_to_head(_status_line(self.protocol_version, code, message))

    def send_header(self, keyword: str, value: Any) -> None:
        """Add a header to the response.

        `value` may be of any type and is sent as its `str`. Raises `ValueError` if the header has a line end or a
        zero byte in it, which would let whoever made it write headers of their own.
        """
        # Equal values of other types may look different.
        found = _known_lines.get((keyword, value)) if value.__class__ is str else None
        line, name = found or _header_line(keyword, value)
        if self.request_version != "HTTP/0.9":
            try:
                self._headers_buffer.append(line)
            except AttributeError:
                self._headers_buffer = [line]
        if name is None:
            return
        if name == "connection":
            wish = value.lower()
            if wish == "close":
                self.close_connection = True
            elif wish == "keep-alive":
                self.close_connection = False
        elif self._exchanges is not None:
            self._exchanges.is_delimited = True
            if name == "content-length":
                self._exchanges.size = value

    def end_headers(self) -> None:
        """End the headers and send them.

        Where the connection is to be kept and no header says where the body ends, what is written to `wfile` from
        now on is sent in chunks (RFC 9112 section 7.1); clients of HTTP/1.0 are told that the connection will close.
        What is written to a response that has no body by definition is dropped (RFC 9110 section 6.4.1).
        """
        if self.request_version != "HTTP/0.9":
            exchanges = self._exchanges
            body_writer = None
            if exchanges is not None and exchanges.in_progress:
                body_writer = exchanges.frame(cast("BaseHTTPRequestHandler", self))
            self._headers_buffer.append(b"\r\n")
            self.flush_headers()
            if exchanges is not None and body_writer is not None:
                self.wfile = exchanges.body_writer = body_writer

    def flush_headers(self) -> None:
        """Send the headers that were added."""
        if hasattr(self, "_headers_buffer"):
            self.wfile.write(b"".join(self._headers_buffer))
            self._headers_buffer = []

    def _add_to_head(self, lines: bytes) -> None:
        """Add lines that are known to be right."""
        try:
            self._headers_buffer.append(lines)
        except AttributeError:
            self._headers_buffer = [lines]

    def version_string(self) -> str:
        """Return what the header Server says."""
        return f"{self.server_version} {self.sys_version}"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return a time, by default now, as headers have it (RFC 9110 section 5.6.7)."""
        return _http_date(int(time.time()) if timestamp is None else timestamp)


@lru_cache(maxsize=256)
def _status_line(version: str, code: int, message: str) -> bytes:
    if not message.isprintable():
        message = message.translate(_LINE_ENDS)
    return f"{version} {code:d} {message}\r\n".encode("latin-1")


# What was sent lately: most responses have the same few headers.
_known_lines: dict[tuple[str, str], tuple[bytes, str | None]] = {}
_MOST_KNOWN = 1024
_LONGEST_KNOWN = 128
# The headers that say how a response ends.
_TELLING = ("connection", "content-length", "transfer-encoding")


def _header_line(keyword: str, value: Any) -> tuple[bytes, str | None]:
    """Return the line of a header, and its name if the server has to know of it."""
    line = f"{keyword}: {value}"
    if "\r" in line or "\n" in line or "\0" in line:
        raise ValueError(f"a header cannot hold line ends or zero bytes: {line!r}")
    name = keyword.lower()
    made = line.encode("latin-1") + b"\r\n", name if name in _TELLING else None
    if value.__class__ is str and len(line) <= _LONGEST_KNOWN:
        if len(_known_lines) >= _MOST_KNOWN:
            _known_lines.clear()
        _known_lines[keyword, value] = made
    return made


@lru_cache(maxsize=64)
def _http_date(timestamp: float) -> str:
    return email.utils.formatdate(timestamp, usegmt=True)
