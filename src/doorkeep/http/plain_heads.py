"""Heads that have nothing unusual about them, parsed in one piece where the compiled parser was built.

That is what nearly all requests have. It takes no more than `doorkeep.http.head` takes, and takes it for the same; it
leaves to that whatever is wrong, rare or not there yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from doorkeep.http.core import plain_head

if TYPE_CHECKING:
    from doorkeep.http.head import Head

    class PlainHead(Head):
        """A head, how many bytes it had, and its request line, as sent and as text."""

        size: int
        raw_request_line: bytes
        request_line: str


__all__ = ["read_plain_head"]


def read_plain_head(reader: Any, host_required: bool) -> PlainHead | None:
    """Wait for the next request; return its head if the reader then has all of it, and it is plain.

    None, and nothing has been read then, for all that is left to those who read line by line: it may also be that the
    reader cannot `peek`, or that the stream has ended.
    """
    try:
        data = reader.peek(1)
    except AttributeError:
        return None
    if data.__class__ is not bytes:  # a stand-in of a test
        return None
    head: PlainHead | None = plain_head(data, host_required)
    if head is not None:
        reader.read(head.size)
    return head
