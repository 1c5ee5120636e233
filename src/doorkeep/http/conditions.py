"""Conditional requests (RFC 9110, section 13): what identifies a file's content, and what a request asks of it."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_tz
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

__all__ = ["SETTLED_AFTER", "Validators", "failed_condition", "may_send_range", "parse_http_date", "validators_of"]

# An entity tag (RFC 9110, section 8.8.3).
_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')

# Seconds for which a file must have been left alone before its times tell this state of it from all others: a change
# within one tick of the file system's clock, a few milliseconds or on FAT two seconds, does not show.
SETTLED_AFTER = 2.0


class Validators(NamedTuple):
    """What identifies a state of a file: its entity tag, and its last change in whole seconds.

    A tag that is weak here never matches, not even one that is the same (see `validators_of`).
    """

    etag: str
    modified: int

    @property
    def last_modified(self) -> str:
        """The last change as the field Last-Modified has it."""
        return _http_date(self.modified)


def validators_of(status: os.stat_result, now: float) -> Validators:
    """Return the validators of a file by its status, at the time `now`, in seconds since the epoch.

    The tag changes with whatever replaces or rewrites the file. While a further change might not show, it is a weak one
    (RFC 9110, section 8.8.1) of its own, so that whoever has got that gets the file anew.
    """
    tag = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    is_settled = status.st_mtime <= now - SETTLED_AFTER
    return Validators(f'"{tag}"' if is_settled else f'W/"{tag}-unsettled"', int(status.st_mtime))


def failed_condition(headers: Any, validators: Validators) -> HTTPStatus | None:
    """Return the status that a GET or HEAD ends with for its conditions, in the order of section 13.2.2.

    That is 304 or 412; None if the request is to be answered. `headers` are those of the request, with `get_all`;
    dates that are none, and in a list what is no entity tag, count as not there. `If-None-Match: *` is no condition:
    it keeps a PUT from replacing a file, and the standard module answers a GET that has it.
    """
    if_match = _list_in(headers, "If-Match")
    if if_match is not None:
        if not _matches(if_match, validators.etag, weakly=False):
            return HTTPStatus.PRECONDITION_FAILED
    else:
        unmodified_since = _date_in(headers, "If-Unmodified-Since")
        if unmodified_since is not None and validators.modified > unmodified_since:
            return HTTPStatus.PRECONDITION_FAILED
    if_none_match = _list_in(headers, "If-None-Match")
    if if_none_match is not None:
        if if_none_match.strip() == "*":
            return None
        return HTTPStatus.NOT_MODIFIED if _matches(if_none_match, validators.etag, weakly=True) else None
    modified_since = _date_in(headers, "If-Modified-Since")
    if modified_since is not None and validators.modified <= modified_since:
        return HTTPStatus.NOT_MODIFIED
    return None


def may_send_range(if_range: str | None, validators: Validators, now: float) -> bool:
    """Return whether If-Range allows a part of the content (section 13.1.5); None: the request has no such field.

    A tag must be the same and strong, a date the very one that was sent, of a file that does not change just now:
    just before `now`, seconds since the epoch, one date may stand for two states.
    """
    if if_range is None:
        return True
    tag = _ENTITY_TAG.fullmatch(if_range.strip())
    if tag is not None:
        return tag[1] is None and tag[2] == validators.etag
    return parse_http_date(if_range) == validators.modified and validators.modified <= now - SETTLED_AFTER


@lru_cache(maxsize=256)
def parse_http_date(text: str) -> int | None:
    """Return the seconds since the epoch that a date stands for, in any of HTTP's three formats (section 5.6.7).

    None for what is no date, or one of another zone than GMT.
    """
    try:
        parsed = parsedate_tz(text)
        if parsed is None or parsed[9]:
            return None
        return int(datetime(*parsed[:6], tzinfo=UTC).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=256)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def _list_in(headers: Any, name: str) -> str | None:
    lines = headers.get_all(name)
    return None if lines is None else ", ".join(lines)


def _date_in(headers: Any, name: str) -> int | None:
    text = headers.get(name)
    return None if text is None else parse_http_date(text)


def _matches(tags: str, etag: str, weakly: bool) -> bool:
    if tags.strip() == "*":
        return True
    return any(tag == etag and (weakly or not weak) for weak, tag in _ENTITY_TAG.findall(tags))
