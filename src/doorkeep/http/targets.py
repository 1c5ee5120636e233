"""Request targets (RFC 9112 section 3.2): the absolute form, which every server must take, and the usual one."""

from __future__ import annotations

import re

__all__ = ["origin_form", "split_absolute_form"]

# Scheme, authority, and what would be the target in the usual form.
_absolute_form = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#]*)([^#]*)").match


def split_absolute_form(target: str) -> tuple[str, str] | None:
    """Return host and port as "http://host:port/path?query" has them, and its "/path?query"; None for other targets.

    Names of users are left out (RFC 9110 section 4.2.4).
    """
    found = _absolute_form(target)
    if found is None:
        return None
    authority, rest = found.groups()
    # RFC 9110 section 4.2.3: the empty path is this one.
    return authority, rest if rest[:1] == "/" else f"/{rest}"


def origin_form(target: str) -> str:
    """Return what a target in absolute form names at its host, "/path?query"; other targets stay as they are."""
    found = None if target[:1] == "/" else split_absolute_form(target)
    return target if found is None else found[1]
