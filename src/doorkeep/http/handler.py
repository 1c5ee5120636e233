"""The handler of HTTP connections: requests one after another, each led to a method such as `do_GET`."""

from __future__ import annotations

import contextlib
import http.client
import socket
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from doorkeep.handlers import StreamRequestHandler
from doorkeep.http.access_log import LogMixIn
from doorkeep.http.bodies import BodyError, BodyTooLongError
from doorkeep.http.exchanges import Exchanges
from doorkeep.http.head import (
    Head,
    HeadError,
    IncompleteRequestError,
    RequestError,
    parse_head,
    parse_request_line,
    read_header_lines,
    read_request_line,
)
from doorkeep.http.lingering import LINGER, linger
from doorkeep.http.messages import headers, message_of
from doorkeep.http.plain_heads import read_plain_head
from doorkeep.http.responses import ResponseMixIn

__all__ = ["BaseHTTPRequestHandler"]

# Of the server software, as the header Server and CGI programs have it.
__version__ = "0.6"

# Names that are the same objects each time are found faster.
_METHOD_NAMES = {
    name: sys.intern(f"do_{name}") for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
}


class BaseHTTPRequestHandler(ResponseMixIn, LogMixIn, StreamRequestHandler):
    """Handles an HTTP connection: calls `do_GET` for a GET request, `do_POST` for a POST, and so on.

    Such a method finds the request in `command`, `path` (as it was sent, percent-encoded), `request_version` and
    `headers`, and its body in `rfile`, which ends with it. It answers by `send_response`, `send_header`,
    `end_headers`, then writes the body of the response to `wfile`; or by `send_error`. With a `protocol_version` of
    "HTTP/1.1" the connection is kept for further requests, unless `close_connection` is set.
    """

    sys_version = "Python/" + sys.version.split()[0]
    server_version: Any = "BaseHTTP/" + __version__
    default_request_version = "HTTP/0.9"
    #: Whether `rfile` is the content of a chunked body; else it is the body as it came, for methods that decode it.
    decodes_chunked = True
    MessageClass: Any = http.client.HTTPMessage

    command: Any
    path: str
    headers: Any = headers
    raw_requestline: bytes
    requestline: str
    request_version: str
    close_connection = True

    # For `headers`: those of the request as they came, and the message that was made of them.
    _header_fields: list[tuple[str, str]] | None = None
    _header_message: Any = None

    def setup(self) -> None:
        super().setup()
        # Nagle's algorithm would hold a body back, behind its head, for as long as the client's acknowledgement takes.
        with contextlib.suppress(OSError, AttributeError):  # of a Unix socket, or no socket at all
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def finish(self) -> None:
        if self._exchanges is not None and self._exchanges.leaves_unread:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # as `linger` does
                self.wfile.flush()
            linger(self.connection, LINGER)
        super().finish()

    def handle(self) -> None:
        """Handle requests until the connection is to be closed."""
        self.close_connection = True
        self.handle_one_request()
        while not self.close_connection:
            self.handle_one_request()

    def handle_one_request(self) -> None:
        """Read a request and call its method. Sets `close_connection` if there is none, or no other is to follow."""
        exchanges = self._exchanges
        if exchanges is None:
            # Tests of programs make handlers without either.
            exchanges = self._exchanges = Exchanges(getattr(self, "server", None), getattr(self, "request", None))
        try:
            if not exchanges.begin():
                self.close_connection = True
            elif self._read_request(exchanges):
                self._answer(exchanges)
                if not getattr(self.wfile, "collects", False):  # of green connections: it leaves when we wait
                    self.wfile.flush()
        except TimeoutError as error:
            self.log_error("Request timed out: %r", error)
            self.close_connection = True
        finally:
            exchanges.in_progress = False
            if exchanges.logged is not None:
                self._log_exchange(exchanges)

    def _read_request(self, exchanges: Exchanges) -> bool:
        """Read a request up to its body; return whether it can be answered."""
        # A program's own `parse_request` reads the header lines itself.
        if getattr(self.parse_request, "__func__", None) is _parse_request:
            plain = read_plain_head(self.rfile, exchanges.settings.host_required)
            if plain is not None:
                exchanges.head_came()
                self.raw_requestline, self.requestline = plain.raw_request_line, plain.request_line
                self.command, self.path, self.request_version = plain.method, plain.target, plain.version
                return self._take_head(plain, exchanges)
            return self._read_lines(exchanges, has_begun=hasattr(self.rfile, "peek"))
        return self._read_lines(exchanges, has_begun=False)

    def _read_lines(self, exchanges: Exchanges, has_begun: bool) -> bool:
        """Read the head of a request line by line; `has_begun` is whether some of it is known to have come."""
        self.requestline = self.request_version = self.command = ""
        try:
            self.raw_requestline = read_request_line(self.rfile)
            if not self.raw_requestline:
                self.close_connection = True
                return False
            has_begun = True
            exchanges.line_came()
            has_come = self.parse_request()
            if not has_come:
                exchanges.check_time()
        except HeadError as error:
            exchanges.came()
            exchanges.leaves_unread = True
            self.raw_requestline = b""
            self.send_error(error.status)
            return False
        except TimeoutError:
            if not has_begun:
                raise
            exchanges.came()
            exchanges.leaves_unread = True
            self.send_error(HTTPStatus.REQUEST_TIMEOUT)
            return False
        exchanges.head_came()
        return has_come

    def parse_request(self) -> bool:
        """Read the headers that follow `raw_requestline` and parse both.

        Returns whether to go on with the request; where not, it has been answered with an error, or has never come.
        """
        self.command = None
        self.request_version = self.default_request_version
        self.close_connection = True
        line = self.raw_requestline
        self.requestline = str(line, "iso-8859-1").rstrip("\r\n")
        exchanges = self._exchanges
        stream = self.rfile
        if exchanges is None or not exchanges.in_progress:
            stream = _Completed(stream)
            line = line if line.endswith(b"\n") else line + b"\r\n"
        try:
            request_line = self.command, self.path, version = parse_request_line(line)
            if version:
                self.request_version = version
            head = parse_head(
                request_line,
                read_header_lines(stream) if version else (),
                host_required=exchanges is not None and exchanges.settings.host_required,
            )
        except HeadError as error:
            if self.requestline.strip():
                self._refuse(error)
                if exchanges is not None:
                    exchanges.leaves_unread = True
            return False
        except IncompleteRequestError:
            return False
        return self._take_head(head, exchanges)

    def _take_head(self, head: Head, exchanges: Exchanges | None) -> bool:
        """Take what the head of a request says; return whether to go on with it."""
        if type(self).headers is headers:
            self._header_fields, self._header_message = head.fields, None
        else:  # a class attribute of the program's own is in our place
            self.headers = message_of(head.fields, self.MessageClass)
        if exchanges is not None:
            exchanges.head = head
            if head.content_length and exchanges.refuses_body(self):
                self._refuse(BodyTooLongError())
                return False
        self.close_connection = self.protocol_version < "HTTP/1.1" or not head.keep_alive
        if self.protocol_version < "HTTP/1.1":
            return True
        if not head.expects_continue or self.handle_expect_100():
            return True
        self.close_connection = True  # whatever comes now may be the body
        if exchanges is not None:
            exchanges.leaves_unread = True
        return False

    def _header_names(self) -> Iterable[str]:
        """Return the names of `headers`, for which it need not be made."""
        fields = self._header_fields
        if self._header_message is None and fields is not None:
            return [name for name, _ in fields]
        names: Iterable[str] = self.headers
        return names

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that is none."""
        if error.version is not None:
            self.request_version = error.version
        # Programs have a `send_error` of two arguments.
        self.send_error(error.status, error.reason, *((error.explanation,) if error.explanation else ()))
        self.close_connection = True

    def handle_expect_100(self) -> bool:
        """Decide about a client that may wait for "100 Continue" before it sends its body (RFC 9110 section 10.1.1).

        Return True to go on, or answer with an error and return False. This one goes on, and lets the client know
        when its body is first read.
        """
        if self._exchanges is None or not self._exchanges.awaits_continue():
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        return True

    def _send_continue(self) -> None:
        """Let the client send its body, unless it has been answered before."""
        if self._exchanges is not None and self._exchanges.continue_sent():
            # Not by way of `send_response_only`: the head of the response may be under way.
            self.wfile.write(f"{self.protocol_version} 100 Continue\r\n\r\n".encode())
            self.wfile.flush()

    def _answer(self, exchanges: Exchanges) -> None:
        """Call the method of the request that has come."""
        command = self.command
        method = getattr(self, _METHOD_NAMES.get(command) or f"do_{command}", None) or self._refuse_method
        stream = self.rfile
        exchanges.files = stream, self.wfile
        body = self.rfile = exchanges.body_for(self)
        try:
            method()
            writer = exchanges.body_writer
            if writer is not None:
                self.wfile.flush()  # which may be the program's own, on top of ours
                writer.end()
                exchanges.size = writer.size
        except BodyError as error:
            self.close_connection = True
            if exchanges.has_begun:
                self.log_error("code %d, message %s", error.status, error.reason)
            else:
                self._headers_buffer = []
                self._refuse(error)
        finally:
            if exchanges.body_writer is not None:
                self.wfile = exchanges.body_writer.wfile
            is_replaced = self.rfile is not body and self.rfile is not stream
            if not is_replaced:
                self.rfile = stream
        # Behind CONNECT programs go on by HTTP within TLS, on files of their own.
        if not (is_replaced and command == "CONNECT") and not exchanges.is_over(body, self):
            self.close_connection = True

    def _refuse_method(self) -> None:
        self.send_error(HTTPStatus.NOT_IMPLEMENTED, f"Unsupported method ({self.command!r})")


_parse_request = BaseHTTPRequestHandler.parse_request


class _Completed:
    """Reads a head for a loop of the program's own, where the end of the stream ends it too."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(limit)
        return line if line.endswith(b"\n") or len(line) >= limit else line + b"\r\n"
