"""Server-sent events: a response that goes on, event after event, for the `EventSource` of a page.

The format is that of the HTML standard, "Server-sent events": https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from doorkeep.connection.deadlines import end_input

if TYPE_CHECKING:
    from doorkeep.http.handler import BaseHTTPRequestHandler

__all__ = ["EventStream", "StreamEnded"]

_line_ends = re.compile(r"\r\n|\r|\n")


class StreamEnded(ConnectionError):
    """The client no longer listens, or the server drains."""


class EventStream:
    """Answers a request with events, for the length of a `with` block, which ends when the client leaves, or when the
    server drains: the client will find another.

        def do_GET(self):
            with EventStream(self) as events:
                while True:
                    events.send(time.ctime())
                    events.wait(1)

    That, `send`, `comment` and `wait` notice: they raise `StreamEnded`, which does not leave the block. The end of the
    block closes the connection. A page then connects again, until it is answered with status 204.

    `headers` are sent beside those that the stream needs. After `keep_alive` seconds without an event `wait` sends a
    comment, so that nobody on the way takes the connection for dead; None: never.
    """

    def __init__(
        self,
        handler: BaseHTTPRequestHandler,
        headers: dict[str, str] | None = None,
        keep_alive: float | None = 15.0,
    ) -> None:
        self._handler = handler
        self._headers = headers or {}
        self._keep_alive = keep_alive
        self._last_sent = time.monotonic()
        self._drains = False
        self._until_drain = handler.on_drain(self._end)

    @property
    def last_event_id(self) -> str | None:
        """The `id` of the last event that the client received before it lost its connection; None at its first."""
        found: str | None = self._handler.headers.get("Last-Event-ID")
        # Headers are read as latin-1, and an id is UTF-8.
        return None if found is None else found.encode("latin-1").decode("utf-8", "replace")

    def __enter__(self) -> EventStream:
        handler = self._handler
        handler.send_response(200)
        for name, value in {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # what nginx asks, which else would collect
            "Connection": "close",
            **self._headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.flush()
        self._until_drain.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._until_drain.__exit__(kind, error, traceback)
        return isinstance(error, StreamEnded) and error.args == (self,)

    def send(
        self, data: str = "", *, event: str | None = None, id: str | None = None, retry: float | None = None
    ) -> None:
        """Send an event, whose `data` may have several lines.

        `event` is its type, for `addEventListener`; None: "message". `id` is what the client tells as `Last-Event-ID`
        when it connects again, which it does after `retry` seconds. `ValueError` for a type or an id with a line end,
        or an id with a zero byte. Raises `StreamEnded`.
        """
        lines = []
        if event is not None:
            lines.append(f"event: {_one_line(event)}")
        if id is not None:
            if "\0" in id:  # by which a page's parser would ignore it
                raise ValueError(f"an id has no zero bytes: {id!r}")
            lines.append(f"id: {_one_line(id)}")
        if retry is not None:
            lines.append(f"retry: {round(retry * 1000)}")
        lines += [f"data: {line}" for line in _line_ends.split(data)]
        self._write(lines)

    def comment(self, text: str = "") -> None:
        """Send a comment, of which a page sees nothing: it keeps the connection alive. Raises `StreamEnded`."""
        self._write([f": {line}" for line in _line_ends.split(text)])

    def wait(self, seconds: float) -> None:
        """Wait so long, and keep the connection alive meanwhile. Raises `StreamEnded` as soon as there is reason to."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self._keep_alive is not None:
                rest = min(rest, self._last_sent + self._keep_alive - time.monotonic())
            if rest > 0:
                self._listen(rest)
            else:
                self.comment()

    def _listen(self, seconds: float) -> None:
        """Wait for the end of what the client sends, which is all that can come after its request."""
        connection = self._handler.connection
        before = connection.gettimeout()
        connection.settimeout(seconds)
        try:
            if not connection.recv(1 << 16):
                raise StreamEnded(self)
        except TimeoutError:
            return
        except StreamEnded:
            raise
        except OSError as error:
            raise StreamEnded(self) from error
        finally:
            connection.settimeout(before)

    def _end(self) -> None:
        self._drains = True
        end_input(self._handler.connection)

    def _write(self, lines: list[str]) -> None:
        if self._drains:
            raise StreamEnded(self)
        wfile: Any = self._handler.wfile
        try:
            wfile.write("\n".join([*lines, "", ""]).encode())
            wfile.flush()
        except OSError as error:
            raise StreamEnded(self) from error
        self._last_sent = time.monotonic()


def _one_line(text: str) -> str:
    if _line_ends.search(text):
        raise ValueError(f"neither an event's type nor its id may have line ends: {text!r}")
    return text
