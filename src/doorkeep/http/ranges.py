"""Range requests (RFC 9110, section 14): which bytes of a content a request asks for, and how several are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["content_range", "multipart", "parse_ranges"]

# One range: first and last byte, or how many at the end (section 14.1.2).
_RANGE = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)

# How many ranges a request may ask for. Each costs a head of its own, so that many small ones would have a server send
# a multiple of the file; of the clients that ask for several, those of PDF readers and rsync-like tools need dozens.
_MOST_RANGES = 100

# Digits of the largest number that a file system could mean, 2**63: longer ones cost time and mean the end.
_MOST_DIGITS = 19


def parse_ranges(field: str, size: int) -> list[range] | None:
    """Return the bytes that a Range field asks for of a content of `size` bytes, in its order.

    The list is empty if there are none such, which is answered with 416. None: the field is to be ignored and the
    whole sent, because it is of another unit or no field at all, or asks for more than 100 ranges, or for ranges that
    overlap to more than the whole.
    """
    unit, equals, rest = field.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    texts = [text for text in map(str.strip, rest.split(",")) if text]
    if not 0 < len(texts) <= _MOST_RANGES:
        return None
    found = []
    for text in texts:
        parsed = _RANGE.fullmatch(text)
        if parsed is None or text == "-":
            return None
        first, last = parsed.groups()
        if first and last and _number(first) > _number(last):
            return None
        wanted = _satisfied(first, last, size)
        if wanted is None:
            return None
        if wanted:
            found.append(wanted)
    if len(found) > 1 and sum(map(len, found)) > size:
        return None
    return found


def content_range(part: range | None, size: int) -> str:
    """Return the field Content-Range for a part of a content; None is for the answer 416."""
    return f"bytes */{size}" if part is None else f"bytes {part.start}-{part.stop - 1}/{size}"


def multipart(parts: Iterable[range], size: int, content_type: str, boundary: str) -> Sequence[bytes | range]:
    """Return the content of an answer with several parts (section 14.6): what is in between, and the parts themselves.

    `boundary` must not occur in the content.
    """
    pieces: list[bytes | range] = []
    line_end = ""
    for part in parts:
        head = f"Content-Type: {content_type}\r\nContent-Range: {content_range(part, size)}\r\n\r\n"
        pieces += [f"{line_end}--{boundary}\r\n{head}".encode("latin-1"), part]
        line_end = "\r\n"
    pieces.append(f"\r\n--{boundary}--\r\n".encode("latin-1"))
    return pieces


def _satisfied(first: str, last: str, size: int) -> range | None:
    """Return the bytes of one range, empty if there are none; None: a part that no Content-Range can name."""
    if not first:
        length = min(_number(last), size)
        # The end of nothing can be had, but is no range of bytes.
        return None if length == 0 < _number(last) else range(size - length, size)
    return range(_number(first), min(_number(last) + 1, size) if last else size)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) < _MOST_DIGITS else 10**_MOST_DIGITS
