"""WSGI applications (PEP 3333), on any server of HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any
from wsgiref.util import is_hop_by_hop

from doorkeep.connection.prologue import is_tls
from doorkeep.http.bodies import BodyError
from doorkeep.http.environ import environ_of_connection, environ_of_request
from doorkeep.http.file_wrapper import FileWrapper
from doorkeep.http.handler import BaseHTTPRequestHandler

if TYPE_CHECKING:
    from typing import Self
    from wsgiref.types import WSGIApplication

__all__ = ["WSGIHandler"]

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class WSGIHandler(BaseHTTPRequestHandler):
    """Has a WSGI application answer the requests of a connection: `ThreadingHTTPServer(address, handler)` with

        handler = WSGIHandler.serving(application)

    The application is called in the thread, greenlet or process that the server has for the connection. Where it
    fails before it has sent anything, the client gets an error 500; in either case the connection is closed, and the
    server told of the exception as of a handler's. What an application may not do raises in its call: `ValueError`,
    `TypeError`, or `RuntimeError` where the order is wrong or a body is not as long as its Content-Length says.

    Does not believe `X-Forwarded-For` and the like, and does not serve CONNECT.
    """

    protocol_version = "HTTP/1.1"
    decodes_chunked = True

    #: What to call. In the body of a subclass, a function goes into `staticmethod`.
    application: WSGIApplication

    _environ_of_connection: dict[str, Any] | None = None

    @classmethod
    def serving(cls, application: WSGIApplication) -> type[Self]:
        """Return a handler class for an application."""
        return type(cls.__name__, (cls,), {"application": staticmethod(application), "__module__": cls.__module__})

    def _run(self) -> None:
        """Answer the request that has been parsed."""
        common = self._environ_of_connection
        if common is None:
            common = self._environ_of_connection = environ_of_connection(self)
        response = _Response(self)
        try:
            result = self.application(environ_of_request(common, self), response.start)
            if type(result) is list:  # nothing to close
                response.send_blocks(result)
            else:
                response.send(result)
        except Exception as error:
            self._fail(response, error)

    def _add_headers(self, lines: str, length: int | None) -> None:
        """Add header lines that are known to be right; `length` is that of the body if one of them tells."""
        if self.request_version != "HTTP/0.9":
            self._add_to_head(lines.encode("latin-1"))
        exchanges = self._exchanges
        if length is not None and exchanges is not None:
            exchanges.is_delimited = True
            exchanges.size = length

    def _fail(self, response: _Response, error: Exception) -> None:
        """Raise what the application, or its client, has failed with."""
        self.close_connection = True
        is_of_some_connection = isinstance(error, (ConnectionError, TimeoutError))
        is_read = getattr(self.rfile, "finished", True)
        if response.client_failed or isinstance(error, BodyError) or (is_of_some_connection and not is_read):
            raise error
        if not is_read and self._exchanges is not None:
            self._exchanges.leaves_unread = True
        if not response.begun:
            self._headers_buffer = []
            self.send_error(500)
        if is_of_some_connection:
            # It is not the client that hung up or was too slow, as the server would think.
            raise RuntimeError(f"the application failed: {error!r}") from error
        raise error

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _run

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_") and name != "do_CONNECT":
                return self._run
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class _Response:
    """The response to one request, as the application gives it piece by piece."""

    __slots__ = ("_code", "_handler", "_left", "_lines", "_noted", "_reason", "begun", "client_failed")

    def __init__(self, handler: WSGIHandler) -> None:
        self._handler = handler
        self._code = 0
        #: Whether its head has been sent.
        self.begun = False
        #: Whether it could not be sent.
        self.client_failed = False

    def start(
        self, status: str, headers: list[tuple[str, str]], /, exc_info: ExceptionInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers: what applications call `start_response`. Returns `write`."""
        if exc_info is not None:
            try:
                if self.begun:
                    raise (exc_info[1] or RuntimeError("the head has been sent")).with_traceback(exc_info[2])
            finally:
                exc_info = None  # its traceback leads here
        elif self._code:
            raise RuntimeError("start_response was called before, and there is no exc_info that would be the reason")
        code, reason = _parse_status(status)
        lines = ""
        noted = {}
        for name, value in headers:
            lower = _checked_name(name)
            if not _is_value(value):
                raise ValueError(f"no value for header {name}: {value!r}")
            if lower in _NOTED:
                if lower in noted:
                    raise ValueError(f"{name} can be given once")
                noted[lower] = value
                if lower == "content-length" and code in _WITHOUT_LENGTH:
                    continue
            lines += f"{name}: {value}\r\n"
        self._lines = lines
        self._noted = noted
        length = _parse_length(noted["content-length"]) if "content-length" in noted else None
        self._left = None if code in _WITHOUT_LENGTH else length
        self._code, self._reason = code, reason
        return self.write

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application has returned, and close that."""
        try:
            if type(result) is FileWrapper and self._send_file(result):
                return
            if isinstance(result, (list, tuple)):
                self.send_blocks(result)
                return
            for block in result:
                self.write(block)
                if self.begun and not self._has_body():
                    break
            self._end()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def send_blocks(self, blocks: list[bytes] | tuple[bytes, ...]) -> None:
        """Send blocks that are all there."""
        body = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        if self.begun:
            self.write(body)
            self._end()
            return
        _check_block(body)
        length = len(body)
        if self._code and self._left is not None and self._left != length and self._has_body():
            raise RuntimeError(f"the body is of {length} bytes, and its Content-Length {self._left}")
        self._begin(length)
        if body:
            self._send(body)

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Send a file by way of the kernel; return whether that was possible."""
        if self.begun or not self._code:
            return False
        content = wrapper.content(self._left)
        if content is None:
            return False
        with closing(content):
            self._begin(content.length)
            if self._has_body():
                connection = self._handler.connection
                can_send_files = hasattr(connection, "sendfile") and not is_tls(connection)
                try:
                    content.copy_to(self._handler.wfile, connection if can_send_files else None)
                except OSError:
                    self.client_failed = True
                    raise
        return True

    def write(self, data: bytes, /) -> None:
        """Send bytes of the body, and before the first ones the head."""
        _check_block(data)
        if not data:
            return
        if not self.begun:
            self._begin(None)
        left = self._left
        if left is not None:
            if len(data) > left:
                raise RuntimeError("the body is longer than its Content-Length")
            self._left = left - len(data)
        self._send(data, at_once=self._left != 0)

    def _send(self, data: bytes, at_once: bool = False) -> None:
        wfile = self._handler.wfile
        try:
            wfile.write(data)
            if at_once:  # as the application may take its time for the next block, and need not give way meanwhile
                wfile.flush()
        except OSError:
            self.client_failed = True
            raise

    def _has_body(self) -> bool:
        return self._handler.command != "HEAD" and self._code not in _WITHOUT_BODY

    def _begin(self, length: int | None) -> None:
        """Send the head; `length` is that of the body, None if it is not known."""
        handler = self._handler
        code = self._code
        if not code:
            raise RuntimeError("start_response must be called before there is a body")
        if code >= 500:
            refused = getattr(handler.rfile, "error", None)
            if isinstance(refused, BodyError):  # which the application takes for a failure of its own
                raise refused
        noted = self._noted
        lines = "" if "server" in noted else f"Server: {handler.version_string()}\r\n"
        if "date" not in noted:
            lines += f"Date: {handler.date_time_string()}\r\n"
        lines += self._lines
        if self._left is None and length is not None and code not in _WITHOUT_BODY:
            self._left = length
            if length or handler.command != "HEAD":  # the application may have left it out for being asked for none
                lines += f"Content-Length: {length}\r\n"
        handler.log_request(code)
        handler.send_response_only(code, self._reason)
        handler._add_headers(lines, self._left)
        self.begun = True
        try:
            handler.end_headers()
        except OSError:
            self.client_failed = True
            raise

    def _end(self) -> None:
        if not self.begun:
            self._begin(0)
        if self._left and self._has_body():
            raise RuntimeError(f"the body is {self._left} bytes shorter than its Content-Length")


def _check_block(block: bytes) -> None:
    if not isinstance(block, bytes):
        raise TypeError(f"a body is made of bytes, not of {type(block).__name__}")


# RFC 9110 section 6.4.1.
_WITHOUT_BODY = (204, 205, 304)
# Section 8.6 forbids it to the one; the other has none but 0 (section 15.3.6), which the handler adds.
_WITHOUT_LENGTH = (204, 205)
# Of these, what the application says counts.
_NOTED = frozenset({"content-length", "date", "server"})
# Visible characters, spaces and tabs: anything else could end the header and begin another.
_is_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_status = re.compile(r"([2-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?").fullmatch
_is_number = re.compile(r"[0-9]{1,18}").fullmatch


@lru_cache(maxsize=1024)
def _checked_name(name: str) -> str:
    """Return the name of a header in lower case; raises if an application may have no such header."""
    if not _is_token(name):
        raise ValueError(f"no name of a header: {name!r}")
    lower = name.lower()
    if is_hop_by_hop(lower):
        raise ValueError(f"{name} is about the connection, which is the server's (PEP 3333)")
    return lower


@lru_cache(maxsize=256)
def _parse_status(status: str) -> tuple[int, str]:
    match = _status(status)
    if match is None:
        raise ValueError(f"no status of a response: {status!r}")
    return int(match[1]), match[2] or ""


def _parse_length(value: str) -> int:
    if not _is_number(value):
        raise ValueError(f"no Content-Length: {value!r}")
    return int(value)
