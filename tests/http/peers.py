"""What other parsers make of the same bytes: h11, and llhttp alone."""

from __future__ import annotations

import io
from typing import Any, Final, NamedTuple

import h11
import httptools

from doorkeep.http.head import Head
from tests.http.reading import CLOSE, CUT, requests_in, whole

# Where a peer reads no further: the request is none, or not one for it.
REFUSED: Final = 400


class Read(NamedTuple):
    """A request, with all that one who answers it goes by."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    content: bytes


# Requests, and how it ends: by a status, `CUT` or `CLOSE`; or with the last of them.
Reading = list[Read | int | str]


def read_by_us(data: bytes, host_required: bool = False) -> Reading:
    """Read requests with `doorkeep.http`, line by line."""
    return requests_in(io.BytesIO(data), host_required, whole, _note)


def read_by_us_at_once(data: bytes, host_required: bool = False) -> Reading:
    """Read requests with `doorkeep.http`, from a reader that has all of them, so that plain heads are read as such."""
    reader: Any = io.BytesIO(data)
    return requests_in(io.BufferedReader(reader, len(data) + 1), host_required, whole, _note)


def _note(head: Head, content: bytes) -> Read:
    return _alike(head.method, head.target, head.fields, content)


def _alike(method: str, target: str, fields: list[tuple[str, str]], content: bytes) -> Read:
    """Return a request without what may differ: the case of names and codings, and slashes before the target."""
    if target.startswith("//"):
        target = "/" + target.lstrip("/")
    lowered = [(name.lower(), value.strip(" \t")) for name, value in fields]
    codings = ("transfer-encoding",)
    return Read(method, target, tuple((n, v.lower() if n in codings else v) for n, v in lowered), content)


# -- h11 -------------------------------------------------------------------------------------------------------------


def read_by_h11(data: bytes) -> Reading:
    """Read requests with h11, which wants a Host of them."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    connection.receive_data(b"")
    reading: Reading = []
    try:
        while isinstance(request := connection.next_event(), h11.Request):
            content = b""
            while isinstance(event := connection.next_event(), h11.Data):
                content += bytes(event.data)
            fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers]
            method, target = request.method.decode("ascii"), request.target.decode("latin-1")
            reading.append(_alike(method, target, fields, content))
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            if method != "CONNECT":
                connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                return [*reading, CLOSE]
            connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return [*reading, REFUSED]
    return reading


# -- llhttp ----------------------------------------------------------------------------------------------------------


class _Messages:
    """Collects what llhttp finds."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.reading: Reading = []
        self.is_within = False

    def on_message_begin(self) -> None:
        self.is_within = True
        self._target = self._content = b""
        self._fields: list[tuple[str, str]] = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._head = list(self._fields)

    def on_body(self, data: bytes) -> None:
        self._content += data

    def on_message_complete(self) -> None:
        self.is_within = False
        # For llhttp, bare requests have header lines, and what follows the head of a request that upgrades is no body.
        if self.parser.get_http_version() < "1.0" or self.parser.should_upgrade():
            self.reading.append(REFUSED)
            return
        method, target = self.parser.get_method().decode("ascii"), self._target.decode("latin-1")
        self.reading.append(_alike(method, target, self._head, self._content))
        if not self.parser.should_keep_alive():
            self.reading.append(CLOSE)


def read_by_llhttp(data: bytes) -> Reading:
    """Read requests, with their bodies, as llhttp does with nothing of ours around it."""
    messages = _Messages()
    try:
        messages.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        messages.reading.append(REFUSED)
    else:
        if messages.is_within:
            messages.reading.append(CUT)
    reading = messages.reading
    ends = [position for position, each in enumerate(reading) if isinstance(each, int | str)]
    return reading[: ends[0] + 1] if ends else reading


# -- Agreement -------------------------------------------------------------------------------------------------------


def disagreement(one: Reading, other: Reading) -> str | None:
    """Return what two say of the same bytes if that is not the same; either may refuse what the other takes."""
    for position in range(max(len(one), len(other))):
        first = one[position] if position < len(one) else None
        second = other[position] if position < len(other) else None
        if first == second:
            continue
        if any(isinstance(each, int | str) for each in (first, second)):
            return None
        return f"{first}\n{second}"
    return None
