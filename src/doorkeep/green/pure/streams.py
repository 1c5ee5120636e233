"""Buffered reading and collected writing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from doorkeep.file_interface import InputFile, OutputFile
from doorkeep.green.pure.channel import Channel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from doorkeep.green.pure.loop import Hub

__all__ = ["Reader", "Writer"]

# What is received at once.
CHUNK = 1 << 16
# Collected bytes that are sent before the greenlet waits.
MOST_COLLECTED = 1 << 16


class Reader(InputFile):
    """Reads a connection in chunks; the interface of `io.BufferedReader`.

    `source` receives: a channel, or anything with a method `recv`. `socket` is the socket, which `close` gives back:
    it closes once no file is open and its own `close` was called. A file that is dropped is closed. After
    `TimeoutError` reading raises `OSError`, as files of `socket.makefile` do. What a call had received when it failed
    is there for the next.
    """

    __slots__ = ("__weakref__", "_chunk", "_position", "_receive", "_socket", "_timed_out", "closed")

    def __init__(self, source: Any, socket: Any) -> None:
        self._receive = source.recv
        self._socket = socket
        self._chunk = b""  # of which what follows `_position` is unread
        self._position = 0
        self._timed_out = False
        self.closed = False

    # -- Chunks --------------------------------------------------------------------------------------------------

    def _has_chunk(self) -> bool:
        """See to it that there are unread bytes; return whether there are, which is False at the end of the stream."""
        if self._position < len(self._chunk):
            return True
        if self._timed_out:
            raise OSError("cannot read from timed out object")
        try:
            chunk = self._receive(CHUNK)
        except TimeoutError:
            self._timed_out = True
            raise
        # Another greenlet may have read meanwhile: what it has left comes first.
        self._chunk = self._take(CHUNK) + chunk if self._position < len(self._chunk) else chunk
        self._position = 0
        return bool(self._chunk)

    def _take(self, size: int) -> bytes:
        """Return the next bytes of the chunk, at most `size`; all of them if that is negative."""
        chunk, position = self._chunk, self._position
        end = len(chunk) if size < 0 else min(position + size, len(chunk))
        if position == 0 and end == len(chunk):
            self._chunk = b""
            return chunk
        self._position = end
        return chunk[position:end]

    def _put_back(self, pieces: list[bytes]) -> None:
        """Undo the taking of `pieces`, as what they are part of cannot be completed."""
        self._chunk = b"".join([*pieces, self._take(-1)])
        self._position = 0

    # -- Reading -------------------------------------------------------------------------------------------------

    def readline(self, size: int | None = -1, /) -> bytes:
        """As `io.BufferedReader.readline`."""
        limit = -1 if size is None else size
        if self.closed:
            self._check_open()
        if limit < 0:
            position = self._position
            end = self._chunk.find(b"\n", position) + 1
            if end:
                self._position = end
                return self._chunk[position:end]
        pieces: list[bytes] = []
        done = 0
        try:
            while (limit < 0 or done < limit) and self._has_chunk():
                position = self._position
                end = self._chunk.find(b"\n", position) + 1
                size = end - position if end else -1
                if limit >= 0 and not 0 <= size <= limit - done:
                    size = limit - done
                piece = self._take(size)
                pieces.append(piece)
                done += len(piece)
                if piece.endswith(b"\n"):
                    break
        except BaseException:
            self._put_back(pieces)
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """As `io.BufferedReader.readlines`."""
        lines: list[bytes] = []
        total = 0
        try:
            for line in self:
                lines.append(line)
                total += len(line)
                if hint is not None and 0 < hint < total:
                    break
        except BaseException:
            self._put_back(lines)
            raise
        return lines

    def read(self, size: int | None = -1, /) -> bytes:
        """As `io.BufferedReader.read`: waits for all of `size` bytes, or for the end of the stream."""
        wanted = -1 if size is None else size
        if wanted < -1:
            raise ValueError("read length must be non-negative or -1")
        self._check_open()
        if 0 <= wanted <= len(self._chunk) - self._position:
            return self._take(wanted)
        pieces: list[bytes] = []
        rest = wanted
        try:
            while rest != 0 and self._has_chunk():
                piece = self._take(rest)
                pieces.append(piece)
                if rest > 0:
                    rest -= len(piece)
        except BaseException:
            self._put_back(pieces)
            raise
        return b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        """As `io.BufferedReader.read1`: receives once at most, and returns what there is."""
        self._check_open()
        if size == 0 or not self._has_chunk():
            return b""
        return self._take(size)

    def peek(self, size: int = 0, /) -> bytes:
        """As `io.BufferedReader.peek`: receives once at most, and leaves the bytes to be read."""
        self._check_open()
        return self._chunk[self._position :] if self._has_chunk() else b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As `io.BufferedReader.readinto`: fills the buffer, unless the stream ends."""
        return self._fill(buffer, True)

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        """As `io.BufferedReader.readinto1`: receives once at most."""
        return self._fill(buffer, False)

    def _fill(self, buffer: WriteableBuffer, whole: bool) -> int:
        self._check_open()
        done = 0
        with memoryview(buffer) as view, view.cast("B") as target:
            if target.readonly:
                raise BufferError("the buffer cannot be written to")
            try:
                while done < len(target) and self._has_chunk():
                    piece = self._take(len(target) - done)
                    target[done : done + len(piece)] = piece
                    done += len(piece)
                    if not whole:
                        break
            except BaseException:
                self._put_back([bytes(target[:done])])
                raise
        return done

    def unread(self) -> bytes:
        """Return what was received and not read, and read no more of it."""
        return self._take(-1)

    # -- As a file -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file, and with it the socket if that waits for nothing else."""
        if not self.closed:
            self.closed = True
            self._take(-1)
            self._socket._decref_socketios()

    def __del__(self) -> None:
        self.close()

    @property
    def name(self) -> int:
        """The descriptor."""
        return self.fileno()

    def fileno(self) -> int:
        self._check_open()
        number: int = self._socket.fileno()
        return number


class Writer(OutputFile):
    """Writes to a connection: each write at once and whole, or collected until the greenlet next waits.

    `source` sends: a channel, or anything with a method `sendall`. What `collects` has kept leaves when the greenlet
    of `hub` waits or ends its job, at 64 KiB, and with `flush` and `close`; what sending it has met, the next call
    raises. Closing it leaves the socket open, and later writes go through, as with `wfile` of `socketserver`.
    """

    __slots__ = (
        "__weakref__",
        "_collected",
        "_error",
        "_hub",
        "_listed",
        "_ordering",
        "_send",
        "_socket",
        "_source",
        "closed",
        "collects",
    )

    def __init__(self, source: Any, socket: Any, hub: Hub, collects: bool = False) -> None:
        self._source = source
        self._ordering: Channel | None = getattr(socket, "_channel", None)
        self._send = source.sendall
        self._socket = socket
        self._hub = hub
        self.collects = collects
        self._collected: bytearray | None = None
        self._listed = False  # among the hub's unflushed
        self._error: OSError | None = None
        self.closed = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Send all of `data`, or keep it; return its size in bytes."""
        size = len(data) if type(data) is bytes else memoryview(data).nbytes
        ordering = self._ordering
        if not self.collects or (ordering is not None and ordering.exposed) or not (self._listed or self._hub.parks()):
            self._send(data)
            return size
        if self._error is not None:
            self.flush()
        if self._collected is None and ordering is not None and ordering.collecting is not None:
            ordering.flush()  # of another writer
        if self._collected is None:
            self._collected = bytearray(data)
            if ordering is not None:
                ordering.collecting = self
        else:
            self._collected += data
        if not self._listed:
            self._listed = True
            self._hub.unflushed.append(self)
        if len(self._collected) >= MOST_COLLECTED:
            self.flush()
        return size

    def flush(self) -> None:
        """Send what was collected; raises what sending it met, now or when it was sent before."""
        collected = self._collected
        error, self._error = self._error, None
        self._forget()
        if error is not None:
            raise error
        if collected is not None:
            self._send(collected)

    def _forget(self) -> None:
        """Note that nothing is collected."""
        self._collected = None
        if self._ordering is not None and self._ordering.collecting is self:
            self._ordering.collecting = None

    def send_now(self) -> bool:
        """Send what was collected as far as that takes no waiting; return whether nothing is left."""
        collected = self._collected
        if collected is not None and self._error is None:
            if not isinstance(self._source, Channel) or self._source.sender is not None:
                return False
            try:
                done = self._source.send_now(collected)
            except OSError as error:
                self._error = error
            else:
                if done is None or done < len(collected):
                    del collected[: done or 0]
                    return False
        self._forget()
        self._listed = False
        return True

    def send_collected(self) -> None:
        """Send what was collected, for the hub: the next call raises what that meets."""
        self._listed = False
        try:
            self.flush()
        except OSError as error:
            # Whoever waits for something else is not to get it; the next write is.
            self._error = error

    # -- As a file -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Send what was collected. The socket stays open."""
        if not self.closed:
            self.closed = True
            self.flush()

    @property
    def name(self) -> int:
        """The descriptor."""
        return self.fileno()

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number


io.BufferedIOBase.register(Reader)
io.BufferedIOBase.register(Writer)
