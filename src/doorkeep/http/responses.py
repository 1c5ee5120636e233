"""Responses: the methods of a handler that answer."""

from __future__ import annotations

import html
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from doorkeep.http.core import ResponseHeadMixIn

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

_NO_CONTENT = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED)


class ResponseMixIn(ResponseHeadMixIn):
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
        command: Any

        def log_error(self, format: str, *args: Any) -> None: ...

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

    def _add_to_head(self, lines: bytes) -> None:
        """Add lines that are known to be right."""
        try:
            self._headers_buffer.append(lines)
        except AttributeError:
            self._headers_buffer = [lines]
