"""What represents a file in an answer, and how a GET or HEAD for it is answered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

from doorkeep.http.conditions import Validators, failed_condition, may_send_range
from doorkeep.http.ranges import content_range, multipart, parse_ranges

__all__ = ["Answer", "Representation", "asks_for_whole"]


class Answer(NamedTuple):
    """An answer: `pieces` of the file and bytes between them are its content, None if it has none by its status."""

    status: HTTPStatus
    headers: Sequence[tuple[str, str]]
    pieces: Sequence[bytes | range] | None = None


class Representation(NamedTuple):
    """A state of a file: what identifies it, its size in bytes, its media type, and its content coding, if any.

    `varies` tells that another client may get another representation, by its Accept-Encoding.
    """

    validators: Validators
    size: int
    content_type: str
    coding: str | None = None
    varies: bool = False

    def answer(self, method: str, headers: Any) -> Answer:
        """Return the answer to a request with these headers, by RFC 9110, sections 13 and 14.

        Ranges are for GET alone (section 14.2).
        """
        if asks_for_whole(headers):
            return _whole(self)
        failed = failed_condition(headers, self.validators)
        if failed is HTTPStatus.NOT_MODIFIED:
            return Answer(failed, self._identity())
        if failed is not None:
            return Answer(failed, [("Content-Length", "0")])
        field = headers.get("Range") if method == "GET" else None
        if field is not None and may_send_range(headers.get("If-Range"), self.validators, time.time()):
            parts = parse_ranges(field, self.size)
            if parts is not None:
                return self._partial(parts)
        return _whole(self)

    def _partial(self, parts: list[range]) -> Answer:
        if not parts:
            refusal = [("Content-Range", content_range(None, self.size)), ("Content-Length", "0")]
            return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, refusal)
        if len(parts) == 1:
            headers = self._headers(self.content_type, len(parts[0]))
            headers.append(("Content-Range", content_range(parts[0], self.size)))
            return Answer(HTTPStatus.PARTIAL_CONTENT, headers, parts)
        boundary = secrets.token_hex(16)
        pieces = multipart(parts, self.size, self.content_type, boundary)
        headers = self._headers(f"multipart/byteranges; boundary={boundary}", sum(map(len, pieces)))
        return Answer(HTTPStatus.PARTIAL_CONTENT, headers, pieces)

    def _headers(self, content_type: str, length: int) -> list[tuple[str, str]]:
        headers = [("Content-type", content_type), ("Content-Length", str(length)), *self._identity()]
        if self.coding is not None:
            headers.append(("Content-Encoding", self.coding))
        headers.append(("Accept-Ranges", "bytes"))
        return headers

    def _identity(self) -> list[tuple[str, str]]:
        headers = [("ETag", self.validators.etag)]
        if self.validators.modified <= time.time():  # RFC 9110, section 8.8.2.1: never a date to come
            headers.insert(0, ("Last-Modified", self.validators.last_modified))
        if self.varies:
            headers.append(("Vary", "Accept-Encoding"))
        return headers


def asks_for_whole(names: Iterable[str]) -> bool:
    """Return whether a request with headers of these names has neither conditions nor ranges."""
    joined = "\n".join(("", *names)).lower()
    return "\nif-" not in joined and "\nrange" not in joined


@lru_cache(maxsize=1024)
def _whole(representation: Representation) -> Answer:
    """Return the answer that most requests get: the whole."""
    headers = representation._headers(representation.content_type, representation.size)
    return Answer(HTTPStatus.OK, headers, [range(representation.size)])
