"""What the file-transfer server and its client say to each other.

A message is a header, and after some headers a body:

    4 bytes    the length of the header, big-endian, from 1 to 65536
    header     a JSON object: {"cmd": "put", "filename": "a.txt", "filesize": 5}
    body       as many bytes as "filesize" says

`put` brings a body. It is answered when it was refused, or when its header has "reply": true; other clients hear
nothing of success, for they may leave without reading, and an answer that nobody reads resets the connection under
what is still on its way. `get` (with "filename") and `ls` are answered by a header with a body: the file, or the
names of all files, one a line. Each answer has a "status", as in HTTP; after a refusal, from 400 on, which has a
"message" as well, the server closes.
"""

from __future__ import annotations

import json
import struct
import unicodedata
from typing import Any, BinaryIO, NoReturn

LONGEST_HEADER = 65536
LONGEST_NAME = 255
LARGEST_SIZE = 2**63 - 1
PIECE = 65536

LENGTH = struct.Struct(">I")


class Refusal(Exception):
    """What was asked cannot be: `status` says why in a number, the text in words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CutShort(Exception):
    """The stream ended in the middle of a message."""


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """Return `size` bytes. Raises `CutShort` if the stream ends before, `Refusal` if a socket's timeout passes."""
    try:
        data = stream.read(size)
    except TimeoutError:
        raise Refusal(408, "nothing came for too long") from None
    if len(data) < size:
        raise CutShort(f"{size - len(data)} bytes are missing")
    return data


def copy_exactly(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """Copy `size` bytes and not one more. Raises what `read_exactly` does."""
    while size > 0:
        piece = read_exactly(source, min(size, PIECE))
        target.write(piece)
        size -= len(piece)


def read_header(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next header, or None where the stream ends before one begins.

    Raises `Refusal` for one that cannot be right, and what `read_exactly` does.
    """
    try:
        first = read_exactly(stream, 1)
    except CutShort:
        return None
    (length,) = LENGTH.unpack(first + read_exactly(stream, LENGTH.size - 1))
    if not 1 <= length <= LONGEST_HEADER:
        raise Refusal(400, f"a header has from 1 to {LONGEST_HEADER} bytes, not {length}")
    return parse_header(read_exactly(stream, length))


def parse_header(data: bytes) -> dict[str, Any]:
    """Return the header in `data`. Raises `Refusal` unless it is a JSON object that means one thing only."""
    try:
        header = json.loads(data.decode(), object_pairs_hook=_unique, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise Refusal(400, "the header is no JSON object")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a key twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no whole number")


def encode_header(header: dict[str, Any]) -> bytes:
    """Return a header as it goes over the wire."""
    data = json.dumps(header).encode()
    return LENGTH.pack(len(data)) + data


def checked_name(name: Any) -> str:
    """Return a header's "filename". Raises `Refusal` unless it is the name of a visible file, and no path."""
    if not isinstance(name, str):
        raise Refusal(400, "filename is no text")
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise Refusal(400, "filename is no plain name")
    # Cc: control characters. Cs: halves of surrogate pairs, which have no UTF-8.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise Refusal(400, "filename has characters that no name should have")
    if len(name.encode()) > LONGEST_NAME:
        raise Refusal(400, f"filename has more than {LONGEST_NAME} bytes")
    if name.startswith("."):
        raise Refusal(403, "hidden files are not served")
    return name


def checked_size(size: Any) -> int:
    """Return a header's "filesize". Raises `Refusal` unless it is a number of bytes."""
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST_SIZE:
        raise Refusal(400, "filesize is no number of bytes")
    return size
