"""The head of a response: the status line and the headers, put together and sent."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from doorkeep.http.exchanges import Exchanges
    from doorkeep.http.handler import BaseHTTPRequestHandler

__all__ = ["ResponseHeadMixIn", "header_line", "http_date", "status_line"]

# What would end a header and begin another (RFC 9110 section 5.5).
_LINE_ENDS = str.maketrans("\r\n\0", "   ")
_UNKNOWN = ("", "")


class ResponseHeadMixIn:
    """The methods of a request handler that make the head of a response."""

    if TYPE_CHECKING:
        server_version: Any
        sys_version: Any
        protocol_version: str
        responses: ClassVar[dict[Any, tuple[str, str]]]
        wfile: Any
        request_version: str
        close_connection: bool
        _headers_buffer: list[bytes]

        def log_request(self, code: Any = "-", size: Any = "-") -> None: ...

    # None until `handle_one_request` has been called.
    _exchanges: Exchanges | None = None

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
            line = status_line(self.protocol_version, code, message)
            try:
                self._headers_buffer.append(line)
            except AttributeError:
                self._headers_buffer = [line]

    def send_header(self, keyword: str, value: Any) -> None:
        """Add a header to the response.

        `value` may be of any type and is sent as its `str`. Raises `ValueError` if the header has a line end or a
        zero byte in it, which would let whoever made it write headers of their own.
        """
        line, name = _line_of(keyword, value)
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

    def _send_headers(self, headers: Iterable[tuple[str, Any]]) -> None:
        """Add several headers."""
        for keyword, value in headers:
            self.send_header(keyword, value)

    def end_headers(self) -> None:
        """End the headers and send them.

        Where the connection is to be kept and no header says where the body ends, what is written to `wfile` from
        now on is sent in chunks (RFC 9112 section 7.1); clients of HTTP/1.0 are told that the connection will close.
        What is written to a response that has no body by definition is dropped (RFC 9110 section 6.4.1).
        """
        if self.request_version != "HTTP/0.9":
            exchanges = self._exchanges
            body_writer = None
            # Within a body there are heads of parts.
            if exchanges is not None and exchanges.in_progress and not exchanges.has_begun:
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

    def version_string(self) -> str:
        """Return what the header Server says."""
        return f"{self.server_version} {self.sys_version}"

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return a time, by default now, as headers have it (RFC 9110 section 5.6.7)."""
        return http_date(int(time.time()) if timestamp is None else timestamp)


@lru_cache(maxsize=256)
def status_line(version: str, code: int, message: str) -> bytes:
    """Return the first line of a response; line ends in the message become spaces."""
    if not message.isprintable():
        message = message.translate(_LINE_ENDS)
    return f"{version} {code:d} {message}\r\n".encode("latin-1")


# The headers that say how a response ends.
_TELLING = ("connection", "content-length", "transfer-encoding")


def header_line(keyword: str, value: Any) -> tuple[bytes, str | None]:
    """Return the line of a header, and its name in lower case if the server has to know of it.

    Raises `ValueError` if there is a line end or a zero byte in it.
    """
    line = f"{keyword}: {value}"
    if "\r" in line or "\n" in line or "\0" in line:
        raise ValueError(f"a header cannot hold line ends or zero bytes: {line!r}")
    name = keyword.lower()
    return line.encode("latin-1") + b"\r\n", name if name in _TELLING else None


# Lines that were sent lately, by keyword and value: most responses have the same few headers.
known_lines: dict[str, dict[str, tuple[bytes, str | None]]] = {}
_MOST_KNOWN = 64
_LONGEST_KNOWN = 128


def _line_of(keyword: str, value: Any) -> tuple[bytes, str | None]:
    """Return what `header_line` does, from memory if possible."""
    if value.__class__ is not str:  # equal values of other types may look different
        return header_line(keyword, value)
    values = known_lines.get(keyword)
    if values is not None and value in values:
        return values[value]
    made = header_line(keyword, value)
    if len(made[0]) <= _LONGEST_KNOWN:
        if values is None:
            if len(known_lines) >= _MOST_KNOWN:
                known_lines.clear()
            values = known_lines[keyword] = {}
        elif len(values) >= _MOST_KNOWN:
            values.clear()
        values[value] = made
    return made


@lru_cache(maxsize=64)
def http_date(timestamp: float) -> str:
    """Return a time as headers have it (RFC 9110 section 5.6.7)."""
    return email.utils.formatdate(timestamp, usegmt=True)
