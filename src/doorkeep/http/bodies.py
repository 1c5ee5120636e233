"""The body of a request, by RFC 9112 sections 6 and 7.

`Body(reader, head.content_length, on_first_read)` is what a handler reads of, as much as it likes; `drain` then tells
whether the next request begins where the connection's reader is.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from doorkeep.file_interface import InputFile
from doorkeep.http.head import MOST_FIELDS, HeadError, IncompleteRequestError, RequestError, parse_fields

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Body", "BodyError", "BodyTooLongError", "RawBody"]

# In bytes, with the line end: what others take from 4 KiB (Go) to 16 KiB (nginx).
_LONGEST_CHUNK_LINE: Final = 4096
# What a size takes of such a line at most, unless it begins with zeros.
_LONGEST_SIZE_LINE: Final = 18
# Bytes of chunk lines beyond that, extensions above all, which a body may have on top of as many as its content has.
_EXTENSIONS: Final = 8192
# In bytes, of all trailers together.
_LONGEST_TRAILERS: Final = 16384
# Bytes that are asked of the connection at once: how long a body is said to be must not cost memory.
_PIECE: Final = 1 << 18

# What is due when nothing is left of a chunk.
_LINE_END, _SIZE, _TRAILERS, _END = "line end", "size", "trailers", "end"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    rb"0*([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED)
).fullmatch
_MOST_OF_A_CHUNK: Final = 2**63 - 1


class BodyError(RequestError):
    """The body of a request cannot be read to its end, as it is malformed or too long."""


class BodyTooLongError(BodyError):
    """The body of a request is longer than the server takes (RFC 9110 section 15.5.14)."""

    def __init__(self) -> None:
        super().__init__(413, "Content Too Large", "The body of the request is longer than this server takes")


class Body(InputFile):
    """Reads the body of one request from a connection, and nothing after it; the interface of `io.BufferedReader`.

    `reader` is the connection's: anything that blocks in `read` and `readline`, and has `read1`, `peek` and `fileno` as
    far as those of the body are called. `content_length` is in bytes, None for a chunked body, and `longest` how many
    such a one may come to, None for any number. `on_first_read` is called before the first read that needs the client
    to send, once.

    Reading raises `IncompleteRequestError`, a `ConnectionError`, where the connection ends before the body does,
    `BodyError` where the body is malformed, and `BodyTooLongError` before the chunk that makes it too long; from then
    on, every read does, and `error` is what it raises. `trailers` are the fields after a chunked body, once it has been
    read to its end; they are never among the headers. `close` leaves the connection open. What a call had read when
    the connection failed is lost.
    """

    __slots__ = (
        "__weakref__",
        "_allowed",
        "_before_reading",
        "_due",
        "_extensions",
        "_left",
        "_source",
        "_trailer_lines",
        "closed",
        "error",
        "reader",
        "trailers",
    )

    def __init__(
        self,
        reader: Any,
        content_length: int | None,
        on_first_read: Callable[[], object] | None = None,
        longest: int | None = None,
    ) -> None:
        self.reader = reader
        # Where the next bytes come from.
        self._source = reader
        # Bytes that are to come of the body, or of the chunk; and what is due after them.
        self._left = content_length or 0
        self._due = _SIZE if content_length is None else _END
        self._before_reading = on_first_read
        self._extensions = _EXTENSIONS
        # Bytes that may still be announced by chunks.
        self._allowed = math.inf if longest is None else longest
        self.error: Exception | None = None
        self._trailer_lines: list[bytes] = []
        self.trailers: list[tuple[str, str]] = []
        self.closed = False

    @property
    def finished(self) -> bool:
        """Whether the body has been read to its end, and there was nothing wrong with it."""
        return not self._left and self._due is _END

    def drain(self, limit: int) -> bool:
        """Read and drop what is left, if that is no more than `limit` bytes; return whether the body has ended.

        False means that the connection cannot be used for another request: too much is left, it is malformed or cut
        off, or the client may never send it, as `on_first_read` was not called. May be called after `close`. Raises
        `OSError` if the connection fails.
        """
        if self.finished:
            return True
        if self._before_reading is not None:
            return False
        try:
            while self._more():
                limit -= self._left
                if limit < 0:
                    return False
                while self._left:
                    self._take(self._source.read(min(self._left, _PIECE)))
        except (BodyError, IncompleteRequestError):
            return False
        return True

    # -- Framing -------------------------------------------------------------------------------------------------

    def _more(self) -> int:
        """Return how many bytes can be read up to the next chunk, or the end of the body; 0 if it has ended."""
        if self.error is not None:
            raise self.error
        if self._before_reading is not None and not self.finished:
            call, self._before_reading = self._before_reading, None
            call()
        if not self._left and self._due is not _END:
            self._next_chunk()
        return self._left

    def _take(self, data: bytes | None) -> bytes:
        """Note that `data` was read, of which there must be some."""
        if not data:
            if data is None:
                raise BlockingIOError("a body is read from a connection that blocks")
            self._fail(IncompleteRequestError("the client hung up within the body of its request"))
        self._left -= len(data)
        return data

    def _fail(self, error: Exception) -> NoReturn:
        self.error = error
        raise error

    def _next_chunk(self) -> None:
        """Read up to the first byte of the next chunk, or behind the last. May be called again after an `OSError`."""
        if self._due is _LINE_END:
            self._read_line_end()
        if self._due is _SIZE:
            self._read_size()
        if self._due is _TRAILERS:
            self._read_trailers()

    # Each of these returns what it has read.

    def _read_line_end(self) -> bytes:
        line = self._line(2)
        if line != b"\r\n":
            self._fail(BodyError(400, "Bad chunk"))
        self._due = _SIZE
        return line

    def _read_size(self) -> bytes:
        line = self._line(_LONGEST_CHUNK_LINE)
        match = _CHUNK_LINE(line)
        if match is None or (size := int(match[1], 16)) > _MOST_OF_A_CHUNK:
            self._fail(BodyError(400, "Bad chunk size"))
        self._extensions += size - max(len(line) - _LONGEST_SIZE_LINE, 0)
        if self._extensions < 0:
            self._fail(BodyError(400, "Chunk lines too long"))
        self._allowed -= size
        if self._allowed < 0:
            self._fail(BodyTooLongError())
        self._left = size
        self._due = _LINE_END if size else _TRAILERS
        return line

    def _read_trailers(self) -> bytes:
        lines = self._trailer_lines
        while (line := self._line(_LONGEST_TRAILERS + 1)) != b"\r\n":
            lines.append(line)
            if len(lines) > MOST_FIELDS or sum(map(len, lines)) > _LONGEST_TRAILERS:
                self._fail(BodyError(431, "Too many trailers"))
            if not line.endswith(b"\r\n"):
                self._fail(BodyError(400, "Bad trailer"))
        try:
            self.trailers = parse_fields(lines)
        except HeadError as error:
            self._fail(BodyError(error.status, error.reason))
        self._due = _END
        return b"".join([*lines, line])

    def _line(self, limit: int) -> bytes:
        line: bytes = self.reader.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            self._fail(IncompleteRequestError("the client hung up within the body of its request"))
        return line

    # -- Reading -------------------------------------------------------------------------------------------------

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the body; all that is left if `size` is negative."""
        self._check_open()
        wanted = -1 if size is None else size
        pieces: list[bytes] = []
        while wanted and (left := self._more()):
            limit = min(left, _PIECE) if wanted < 0 else min(wanted, left, _PIECE)
            piece = self._take(self._source.read(limit))
            pieces.append(piece)
            if wanted > 0:
                wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int | None = -1, /) -> bytes:
        """Return at least one and at most `size` bytes, what there is already if any; none at the end of the body."""
        self._check_open()
        wanted = _PIECE if size is None or size < 0 else min(size, _PIECE)
        if not wanted or not (left := self._more()):
            return b""
        read = getattr(self._source, "read1", self._source.read)
        return self._take(read(min(wanted, left)))

    def peek(self, size: int = 0, /) -> bytes:
        """Return at least one byte of what comes next, and leave it to be read; none at the end of the body."""
        self._check_open()
        left = self._more()
        if not left:
            return b""
        data: bytes = self._source.peek(1)[:left]
        if not data:
            self._take(data)
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line with its LF, or its first `size` bytes; the last line of a body may have no LF."""
        self._check_open()
        wanted = -1 if size is None else size
        pieces: list[bytes] = []
        while wanted and (left := self._more()):
            piece = self._take(self._source.readline(left if wanted < 0 else min(wanted, left)))
            pieces.append(piece)
            if piece.endswith(b"\n"):
                break
            if wanted > 0:
                wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines that are left, no further than to the one that exceeds `hint` bytes if it is positive."""
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint < total:
                break
        return lines

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As `read` of the buffer's length; return how many bytes were written to it."""
        return _fill(buffer, self.read)

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        """As `read1` of the buffer's length; return how many bytes were written to it."""
        return _fill(buffer, self.read1)

    # -- As a file -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Refuse to be read any further. The connection stays open, and `drain` may still be called."""
        self.closed = True

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        number: int = self.reader.fileno()
        return number


class RawBody(Body):
    """A chunked body as it came: chunks with the lines around them, and the trailers.

    For programs that decode such bodies themselves. What a `Body` refuses this one refuses too, when it comes to it,
    and it ends where the body ends, behind its last empty line. `longest` counts the content alone.
    """

    __slots__ = ("_content",)

    def __init__(
        self, reader: Any, on_first_read: Callable[[], object] | None = None, longest: int | None = None
    ) -> None:
        super().__init__(reader, None, on_first_read, longest)
        # Bytes of content that follow the line that is being read.
        self._content = 0

    def _next_chunk(self) -> None:
        """Go on to the next line of the framing, or from the line with its size to the content of a chunk."""
        if self._content:
            self._source, self._left, self._content = self.reader, self._content, 0
            return
        if self._due is _LINE_END:
            line = self._read_line_end()
        elif self._due is _SIZE:
            line = self._read_size()
            self._content = self._left
        else:
            line = self._read_trailers()
        self._source, self._left = io.BufferedReader(io.BytesIO(line), len(line)), len(line)


def _fill(buffer: WriteableBuffer, read: Callable[[int], bytes]) -> int:
    with memoryview(buffer) as view, view.cast("B") as octets:
        data = read(len(octets))
        octets[: len(data)] = data
    return len(data)


io.BufferedIOBase.register(Body)
