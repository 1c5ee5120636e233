"""The exchanges of a connection: requests and their responses, one after another.

Here is decided where the body of each ends, for how long a client is waited for, and whether another request may
follow. Handlers keep one `Exchanges` for a connection; programs with a `handle` loop of their own, in which requests
are not led to their methods by `handle_one_request`, are left alone.
"""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING, Any

from doorkeep.http.bodies import Body
from doorkeep.http.pace import PacedReader
from doorkeep.http.settings import HTTPSettings
from doorkeep.server import BaseServer

if TYPE_CHECKING:
    from doorkeep.connection.registry import Connection
    from doorkeep.http.handler import BaseHTTPRequestHandler
    from doorkeep.http.head import Head

__all__ = ["BodyWriter", "Exchanges"]

# Of handlers under servers that are not for HTTP.
_DEFAULTS = HTTPSettings()


class Exchanges:
    """What is known of a connection's requests: how many there were, and of the one in progress how it stands.

    `head` is the request's, None until it has been parsed; `status` and `is_delimited` are the response's: its status,
    0 until there is one, and whether its headers say where its body ends. `has_begun` says that they have been sent.
    `body_writer` is what the body is written to where that cannot be `wfile` itself. `leaves_unread` says that the
    client may be sending yet when the connection closes.

    For the access log: `logged` is the status that is to be logged once the response is over, `size` that of its body
    if it is known, `error` what went wrong, `began` when the request came (`time.monotonic`), zero until it has.
    """

    __slots__ = (
        *("_connection", "_continue_is_due", "_count", "_no_body", "_settings", "_under_our_server"),
        *("began", "body_writer", "error", "has_begun", "head", "in_progress", "is_delimited", "leaves_unread"),
        *("logged", "size", "status"),
    )

    def __init__(self, server: Any, request: Any) -> None:
        self._settings: HTTPSettings = server if isinstance(server, HTTPSettings) else _DEFAULTS
        self._under_our_server = isinstance(server, BaseServer)
        self._connection: Connection | None = None
        if isinstance(server, BaseServer):
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
        self.body_writer: BodyWriter | None = None
        self.began = 0.0
        self.logged: Any = None
        self.size: Any = "-"
        self.error = ""

    # -- The request ---------------------------------------------------------------------------------------------

    @property
    def access_log(self) -> str:
        """How lines of the access log look."""
        return self._settings.access_log

    @property
    def host_required(self) -> bool:
        """Whether requests must name their host."""
        return self._settings.host_required

    def begin(self) -> bool:
        """Begin to wait for a request; return whether there may be one."""
        self._reset()
        self.in_progress = True
        self._count += 1
        connection = self._connection
        if connection is not None:
            if self._count == 1:
                self._wait(connection, "head_timeout", self._settings.head_timeout)
            else:
                self._wait(connection, "keep_alive_timeout", self._settings.keep_alive_timeout)
                # After that, so that a server that drains either sees us waiting, or is seen.
                return self._settings._keeps_connections
        return True

    def line_came(self) -> None:
        """Note that the request has begun to come."""
        if self._settings.access_log != "standard":
            self.began = time.monotonic()
        if self._count > 1 and self._connection is not None:
            self._wait(self._connection, "head_timeout", self._settings.head_timeout)

    def head_came(self) -> None:
        """Note that the head of the request has come, or that it never will."""
        if self._connection is not None:
            self._wait(self._connection, "", None)

    def end(self) -> None:
        """Note that the request and its response are over."""
        self.in_progress = False

    def _wait(self, connection: Connection, setting: str, seconds: float | None) -> None:
        connection.waits_for = setting
        connection.waits_until = math.inf if seconds is None else time.monotonic() + seconds

    # -- Its body ------------------------------------------------------------------------------------------------

    def awaits_continue(self) -> bool:
        """Let the client know as soon as its body is read; return whether there is a body in progress to be read."""
        if not self.in_progress or self.head is None or self.head.content_length == 0:
            return False
        self._continue_is_due = True
        return True

    def body_for(self, handler: BaseHTTPRequestHandler) -> Any:
        """Return what the method of the request is to read from: its body, or the connection if it may upgrade."""
        head, stream = self.head, handler.rfile
        if head is None:
            return stream
        if head.content_length == 0:
            if head.upgrades:
                return stream
            known = self._no_body
            if known is None or known[0] is not stream or known[1].closed:
                known = self._no_body = stream, Body(stream, 0)
            return known[1]
        rate = self._settings.min_body_rate
        if rate is not None and self._connection is not None:
            stream = PacedReader(stream, self._connection, rate)
        return Body(stream, head.content_length, handler._send_continue if self._continue_is_due else None)

    def continue_sent(self) -> bool:
        """Note that the client is to be told to go on; return whether it has to be, as it has no answer yet."""
        self._continue_is_due = False
        return not self.has_begun

    def is_over(self, body: Any, handler: BaseHTTPRequestHandler) -> bool:
        """Read what the handler has left of a body; return whether the next request can follow."""
        if not isinstance(body, Body):
            return self.head is None or (self.status > 101 and self.head.method != "CONNECT")
        if body.finished:
            return True
        handler.wfile.flush()  # the client may wait for the answer
        if body.drain(self._settings.max_unread_body):
            return True
        self.leaves_unread = not self._continue_is_due
        return False

    # -- The response --------------------------------------------------------------------------------------------

    def frame(self, handler: BaseHTTPRequestHandler) -> BodyWriter | None:
        """Add the headers that say where the response ends and if another may follow, as far as the handler has not.

        Returns what its body is to be written to, None for `wfile` itself.
        """
        writer = self._frame_body(handler)
        keeps = self.has_begun and self._under_our_server and not handler.close_connection
        if keeps and handler.request_version == "HTTP/1.0" and not _has_header(handler, b"connection:"):
            # What a client of HTTP/1.0 asks for must be granted, or it waits for the end (RFC 9112 appendix C.2.2).
            handler.send_header("Connection", "keep-alive")
        return writer

    def _frame_body(self, handler: BaseHTTPRequestHandler) -> BodyWriter | None:
        status = self.status
        is_tunnel = status == 101 or (handler.command == "CONNECT" and 200 <= status < 300)
        if is_tunnel:
            handler.close_connection = True  # behind what is not HTTP
        if is_tunnel or status < 200:
            return None
        self.has_begun = True
        if not handler.close_connection and self._is_last():
            handler.send_header("Connection", "close")
        if status in (204, 304) or handler.command == "HEAD":
            self.size = 0
            return BodyDropper(handler.wfile)
        if self.is_delimited or handler.close_connection or not self._under_our_server or _is_delimited(handler):
            return BodyDropper(handler.wfile) if status == 205 else None
        if status == 205:
            handler.send_header("Content-Length", "0")
            return BodyDropper(handler.wfile)
        if handler.request_version >= "HTTP/1.1":
            handler.send_header("Transfer-Encoding", "chunked")
            return ChunkedWriter(handler.wfile)
        handler.send_header("Connection", "close")
        return None

    def _is_last(self) -> bool:
        settings = self._settings
        most = settings.max_requests_per_connection
        return (most is not None and self._count >= most) or self._continue_is_due or not settings._keeps_connections


def _is_delimited(handler: BaseHTTPRequestHandler) -> bool:
    """Return whether a head, to which programs add lines by themselves, says where the body ends."""
    return _has_header(handler, b"content-length:", b"transfer-encoding:")


def _has_header(handler: BaseHTTPRequestHandler, *names: bytes) -> bool:
    return any(line.lower().startswith(names) for line in handler._headers_buffer)


class BodyWriter:
    """Stands for `wfile` while a body is written that cannot go out as it is; `size` is how much of it went out."""

    mode = "wb"
    closed = False

    size = 0

    def __init__(self, wfile: Any) -> None:
        self.wfile = wfile

    def write(self, data: Any, /) -> int:
        raise NotImplementedError

    def end(self) -> None:
        """End the body."""

    def writelines(self, lines: Any, /) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.wfile.flush()

    def close(self) -> None:
        self.flush()

    def fileno(self) -> int:
        number: int = self.wfile.fileno()
        return number

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def isatty(self) -> bool:
        return False


io.BufferedIOBase.register(BodyWriter)


class ChunkedWriter(BodyWriter):
    """Sends each write as a chunk (RFC 9112 section 7.1)."""

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        if size:  # a chunk of no bytes would be the last
            self.size += size
            self.wfile.write(b"".join((b"%x\r\n" % size, data, b"\r\n")))
        return size

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")


class BodyDropper(BodyWriter):
    """Drops what is written: the response has no body (RFC 9110 section 6.4.1)."""

    def write(self, data: Any, /) -> int:
        return memoryview(data).nbytes
