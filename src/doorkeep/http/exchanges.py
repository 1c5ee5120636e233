"""The exchanges of a connection: requests and their responses, one after another.

Here is decided where the body of each ends, for how long a client is waited for, and whether another request may
follow. Handlers keep one `Exchanges` for a connection; programs with a `handle` loop of their own, in which requests
are not led to their methods by `handle_one_request`, are left alone.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from doorkeep.events import BodyTooLong
from doorkeep.http.bodies import Body, BodyTooLongError, RawBody
from doorkeep.http.body_writers import BodyDropper, BodyWriter, ChunkedWriter
from doorkeep.http.pace import PacedReader
from doorkeep.http.settings import HTTPSettings
from doorkeep.http.upgrades import UpgradeReader
from doorkeep.server import BaseServer

if TYPE_CHECKING:
    from doorkeep.connection.registry import Connection
    from doorkeep.http.handler import BaseHTTPRequestHandler
    from doorkeep.http.head import Head

__all__ = ["LATE", "Exchanges"]

# What a connection waits for whose head has not come in time, but that its handler notices it.
LATE = "late head"

# The headers that say where a body ends.
_DELIMITING = (b"content-length:", b"transfer-encoding:")

# Of handlers under servers that are not for HTTP.
_DEFAULTS = HTTPSettings()


class Exchanges:
    """What is known of a connection's requests: how many there were, and of the one in progress how it stands.

    `in_progress` is whether a request is waited for, read or answered. `head` is the request's, None until it has been
    parsed; `files` are `rfile` and `wfile` as its method found them, None until it is called; `leaves_unread` says that
    the client may be sending yet when the connection closes. `status` and `is_delimited` are the response's: its
    status, 0 until there is one, and whether its headers say where its body ends. `has_begun` says that they have been
    sent. `body_writer` is what the body is written to where that cannot be `wfile` itself.

    For the access log: `logged` is the status that is to be logged once the response is over, `size` that of its body
    if it is known, `error` what went wrong, `began` when the request came (`time.monotonic`), zero until it has.
    """

    __slots__ = (
        *("_connection", "_continue_is_due", "_count", "_is_timed", "_no_body", "_server", "settings"),
        *("began", "body_writer", "error", "files", "has_begun", "head", "in_progress", "is_delimited"),
        *("leaves_unread", "logged", "size", "status"),
    )

    def __init__(self, server: Any, request: Any) -> None:
        self.settings: HTTPSettings = server if isinstance(server, HTTPSettings) else _DEFAULTS
        self._is_timed = self.settings.access_log in ("combined", "json")
        self._server: BaseServer | None = None
        self._connection: Connection | None = None
        if isinstance(server, BaseServer):
            self._server = server
            self._connection = server._requests_in_progress.get(request)
        self._count = 0
        # The body of requests that have none, and the stream that it does not read.
        self._no_body: tuple[Any, Body] | None = None
        self.in_progress = False
        self._reset()

    def _reset(self) -> None:
        self.head: Head | None = None
        self.status = 0
        self.is_delimited = self.has_begun = self.leaves_unread = self._continue_is_due = False
        self.files: tuple[Any, Any] | None = None
        self.body_writer: BodyWriter | None = None
        self.began = 0.0
        self.logged: Any = None
        self.size: Any = "-"
        self.error = ""

    # -- The request ---------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Begin to wait for a request; return whether there may be one."""
        self._reset()
        self.in_progress = True
        self._count += 1
        connection = self._connection
        if connection is not None:
            if self._count == 1:
                self._wait(connection, "head_timeout", self.settings.head_timeout)
            else:
                self._wait(connection, "keep_alive_timeout", self.settings.keep_alive_timeout)
                if self._count == 2 and self._server is not None:
                    self._server._expect_drain()
                # After that, so that a server that drains either sees us waiting, or is seen.
                return self.settings._keeps_connections
        return True

    def came(self) -> None:
        """Note that some of the request has come."""
        if self._is_timed and not self.began:
            self.began = time.monotonic()

    def line_came(self) -> None:
        """Note that the request line has come; raises `TimeoutError` as `check_time` does."""
        self.came()
        self.check_time()
        if self._count > 1 and self._connection is not None:
            self._wait(self._connection, "head_timeout", self.settings.head_timeout)

    def head_came(self) -> None:
        """Note that the head of the request has come, or that it never will."""
        if self._is_timed:
            self.came()
        if self._connection is not None:
            self._connection.waits_for = ""
            self._connection.waits_until = math.inf

    def check_time(self) -> None:
        """Raise `TimeoutError` if the head has not come in time, and the server has ended what is read therefore."""
        if self._connection is not None and self._connection.waits_for == LATE and not self.status:
            raise TimeoutError

    def _wait(self, connection: Connection, setting: str, seconds: float | None) -> None:
        connection.waits_for = setting
        connection.waits_until = math.inf if seconds is None else time.monotonic() + seconds

    # -- Its body ------------------------------------------------------------------------------------------------

    def refuses_body(self, handler: BaseHTTPRequestHandler) -> bool:
        """Return whether the body of the request in progress is said to be too long; nothing of it is to be read."""
        head, most = self.head, self.settings.max_body_size
        if most is None or not self.in_progress or head is None or (head.content_length or 0) <= most:
            return False
        self.leaves_unread = not head.expects_continue
        self._tell_too_long(handler)
        return True

    def _tell_too_long(self, handler: BaseHTTPRequestHandler) -> None:
        if BodyTooLong.listeners and self.settings.max_body_size is not None:
            BodyTooLong(handler.server, handler.client_address, self.settings.max_body_size).emit()

    def awaits_continue(self) -> bool:
        """Let the client know as soon as its body is read; return whether there is a body in progress to be read."""
        if not self.in_progress or self.head is None or self.head.content_length == 0:
            return False
        self._continue_is_due = True
        return True

    def body_for(self, handler: BaseHTTPRequestHandler) -> Any:
        """Return what the method of the request is to read from: its body, or the connection if it may upgrade.

        That is with GET, of which nobody expects a body to be read; others find the connection once 101 was sent.
        """
        head, stream = self.head, handler.rfile
        if head is None:
            return stream
        if head.content_length == 0:
            if head.method == "CONNECT":
                return stream
            if head.upgrades and head.method == "GET":
                return UpgradeReader(stream)
            known = self._no_body
            if known is None or known[0] is not stream or known[1].closed:
                known = self._no_body = stream, Body(stream, 0)
            return known[1]
        rate = self.settings.min_body_rate
        if rate is not None and self._connection is not None:
            stream = PacedReader(stream, self._connection, rate)
        on_first_read = handler._send_continue if self._continue_is_due else None
        if head.content_length is not None:
            return Body(stream, head.content_length, on_first_read)
        longest = self.settings.max_body_size
        if handler.decodes_chunked:
            return Body(stream, None, on_first_read, longest)
        return RawBody(stream, on_first_read, longest)

    def continue_sent(self) -> bool:
        """Note that the client is to be told to go on; return whether it has to be, as it has no answer yet."""
        self._continue_is_due = False
        return not self.has_begun

    def is_over(self, body: Any, handler: BaseHTTPRequestHandler) -> bool:
        """Read what the handler has left of a body; return whether the next request can follow."""
        if isinstance(body, UpgradeReader):
            return self.status > 101 and not body.was_read
        if not isinstance(body, Body):
            return self.head is None
        if body.finished:
            return True
        handler.wfile.flush()  # the client may wait for the answer
        if body.drain(self.settings.max_unread_body):
            return True
        self.leaves_unread = not self._continue_is_due
        if isinstance(body.error, BodyTooLongError):
            self._tell_too_long(handler)
        return False

    # -- The response --------------------------------------------------------------------------------------------

    def frame(self, handler: BaseHTTPRequestHandler) -> BodyWriter | None:
        """Add the headers that say where the response ends and if another may follow, as far as the handler has not.

        Returns what its body is to be written to, None for `wfile` itself.
        """
        if (
            self.is_delimited
            and 200 <= self.status < 204
            and handler.request_version == "HTTP/1.1"
            and not handler.close_connection
            and handler.command not in ("HEAD", "CONNECT")
            and not self._is_last()
        ):
            self.has_begun = True
            return None  # nothing is to be added, as is usual
        self.has_begun = self.status >= 200
        writer = self._frame_body(handler)
        keeps = self.has_begun and self._server is not None and not handler.close_connection
        if keeps and handler.request_version == "HTTP/1.0" and not _has_header(handler, b"connection:"):
            # What a client of HTTP/1.0 asks for must be granted, or it waits for the end (RFC 9112 appendix C.2.2).
            handler.send_header("Connection", "keep-alive")
        return writer

    def _frame_body(self, handler: BaseHTTPRequestHandler) -> BodyWriter | None:
        status = self.status
        if status == 101 or (handler.command == "CONNECT" and 200 <= status < 300):
            self._frame_tunnel(handler)
        if not self.has_begun:
            return None
        if self._is_untold_close(handler) if handler.close_connection else self._is_last():
            handler.send_header("Connection", "close")
        has_none = status in (204, 304) or handler.command == "HEAD"
        is_delimited = self.is_delimited or self._server is None or _is_delimited(handler)
        if self.files is not None and handler.wfile is not self.files[1]:
            # The program catches the response. How it will send it cannot be known: its end is that of the connection.
            if has_none or not is_delimited:
                self._close_after(handler)
            return None
        if has_none:
            self.size = 0
            return BodyDropper(handler.wfile)
        if status == 205:
            if _is_delimited(handler) or not handler.close_connection:
                _replace_length(handler)
            return BodyDropper(handler.wfile)
        if is_delimited or handler.close_connection:
            return None
        if _speaks_1_1(handler):
            handler.send_header("Transfer-Encoding", "chunked")
            return ChunkedWriter(handler.wfile)
        self._close_after(handler)
        return None

    def _frame_tunnel(self, handler: BaseHTTPRequestHandler) -> None:
        """See to it that the method finds the connection behind its request, and that no other request follows."""
        self.has_begun = False
        handler.close_connection = True
        body = handler.rfile
        if self.files is not None and (isinstance(body, UpgradeReader) or (isinstance(body, Body) and body.finished)):
            handler.rfile = self.files[0]

    def _close_after(self, handler: BaseHTTPRequestHandler) -> None:
        """End the response by closing the connection."""
        handler.close_connection = True
        if not _has_header(handler, b"connection:"):
            handler.send_header("Connection", "close")

    def _is_untold_close(self, handler: BaseHTTPRequestHandler) -> bool:
        """Return whether the client is yet to be told that the connection closes (RFC 9112 section 9.6)."""
        return _speaks_1_1(handler) and self._server is not None and not _has_header(handler, b"connection:")

    def _is_last(self) -> bool:
        settings = self.settings
        most = settings.max_requests_per_connection
        return (most is not None and self._count >= most) or self._continue_is_due or not settings._keeps_connections


def _is_delimited(handler: BaseHTTPRequestHandler) -> bool:
    """Return whether a head, to which programs add lines by themselves, says where the body ends."""
    return _has_header(handler, *_DELIMITING)


def _has_header(handler: BaseHTTPRequestHandler, *names: bytes) -> bool:
    return any(line.lower().startswith(names) for line in _lines(handler))


def _lines(handler: BaseHTTPRequestHandler) -> list[bytes]:
    """Return the lines of a head, of which programs add several as one."""
    return b"".join(handler._headers_buffer).splitlines(keepends=True)


def _replace_length(handler: BaseHTTPRequestHandler) -> None:
    """Let a head say that there is no body (RFC 9110 section 15.3.6)."""
    kept = [line for line in _lines(handler) if not line.lower().startswith(_DELIMITING)]
    handler._headers_buffer = [*kept, b"Content-Length: 0\r\n"]


def _speaks_1_1(handler: BaseHTTPRequestHandler) -> bool:
    """Return whether the response is of HTTP/1.1 at least, and for a client of that."""
    return min(handler.protocol_version, handler.request_version) >= "HTTP/1.1"
