"""Requests as `doorkeep.http.head` and `doorkeep.http.bodies` read them, without a server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

from doorkeep.http.bodies import Body, RawBody
from doorkeep.http.head import (
    Head,
    IncompleteRequestError,
    RequestError,
    parse_head,
    parse_request_line,
    read_header_lines,
    read_request_line,
)
from doorkeep.http.plain_heads import read_plain_head

# The client closes the connection within a request.
CUT: Final = "cut"
# The client may not send another request: nothing after this one is read.
CLOSE: Final = "close"


class Seen(NamedTuple):
    """A request that was read to its end."""

    method: str
    target: str
    body: bytes = b""


# What becomes of a connection: requests that are seen, the status of one that is refused, and how it ends.
Answer = Seen | int | str


def seen(head: Head, content: bytes) -> Answer:
    """Note what the vectors compare."""
    return Seen(head.method, head.target, content)


def whole(body: Body) -> bytes:
    """Read a body at once."""
    return body.read()


def raw_and_decoded(body: Body) -> bytes:
    """Read a chunked body as it came, and decode that; another one at once."""
    if body.finished or body._left:
        return body.read()
    raw = RawBody(body.reader)
    data = raw.read()
    assert raw.finished
    decoded = Body(io.BytesIO(data), None)
    content = decoded.read()
    assert decoded.trailers == raw.trailers
    return content


Note = TypeVar("Note")


def by_lines(reader: Any, host_required: bool) -> Head | None:
    """Read a head line by line; return None where there is no other."""
    line = read_request_line(reader)
    if not line:
        return None
    request_line = parse_request_line(line)
    lines = read_header_lines(reader) if request_line[2] else ()
    return parse_head(request_line, lines, host_required=host_required)


def requests_in(
    reader: Any, host_required: bool, read: Callable[[Body], bytes], note: Callable[[Head, bytes], Note]
) -> list[Note | int | str]:
    """Read requests as long as one may follow the other; return what is noted of them, and how it ends.

    Of a reader that can `peek`, plain heads are read in one piece, where that is compiled.
    """
    noted: list[Note | int | str] = []
    try:
        while head := read_plain_head(reader, host_required) or by_lines(reader, host_required):
            noted.append(note(head, read(Body(reader, head.content_length))))
            if not head.keep_alive or head.method == "CONNECT":
                noted.append(CLOSE)
                break
    except RequestError as error:
        noted.append(error.status)
    except IncompleteRequestError:
        noted.append(CUT)
    return noted


def answers_to(reader: Any, host_required: bool = False, read: Callable[[Body], bytes] = whole) -> list[Answer]:
    """Read requests as long as one may follow the other; return what they are, and how it ends."""
    return requests_in(reader, host_required, read, seen)


class Pieces(io.RawIOBase):
    """A connection on which these pieces arrive, one at a time."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = (piece for piece in pieces if piece)
        self._left = b""

    def recv(self, size: int) -> bytes:
        """Return what has arrived, or the next piece; nothing at the end."""
        data = self._left or next(self._pieces, b"")
        self._left = data[size:]
        return data[:size]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _decref_socketios(self) -> None:
        """As the socket of a green reader."""


def split_at(data: bytes, position: int) -> Iterator[bytes]:
    """Return the two parts of some bytes."""
    yield data[:position]
    yield data[position:]


def one_by_one(data: bytes) -> Iterator[bytes]:
    """Return each byte for itself."""
    return (data[position : position + 1] for position in range(len(data)))
