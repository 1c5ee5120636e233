"""Content codings (RFC 9110, section 8.4.1): which of the forms that a file is kept in a client prefers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["EXTENSIONS", "acceptable_codings"]

#: The extension of a file's compressed neighbour for each coding, the one that compresses best first.
EXTENSIONS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

_ALIASES = {"x-gzip": "gzip"}
_WEIGHT = re.compile(r"\s*q\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*", re.ASCII | re.IGNORECASE)


@lru_cache(maxsize=256)
def acceptable_codings(accept_encoding: str | None) -> tuple[str, ...]:
    """Return the codings of EXTENSIONS that a client likes at least as well as none, by its Accept-Encoding.

    The most welcome comes first (section 12.5.3), and of equal ones the one that EXTENSIONS has first. A client that
    does not tell gets none.
    """
    if not accept_encoding:
        return ()
    weights = dict(_weights(accept_encoding.split(",")))
    any_other = weights.get("*", 0.0)
    # What is not named and not excluded by "*" is acceptable as it is, but less welcome than whatever is named.
    identity = weights.get("identity", 0.0)
    wanted = {coding: weights.get(coding, any_other) for coding in EXTENSIONS}
    found = [coding for coding, weight in wanted.items() if weight > 0 and weight >= identity]
    return tuple(sorted(found, key=lambda coding: -wanted[coding]))


def _weights(members: Iterable[str]) -> Iterable[tuple[str, float]]:
    for member in members:
        coding, semicolon, parameter = member.partition(";")
        weight = _WEIGHT.fullmatch(parameter)
        if semicolon and weight is None:
            continue  # nobody can tell what is meant: the plain form is safe
        name = coding.strip().lower()
        yield _ALIASES.get(name, name), float(weight[1]) if weight else 1.0
