"""Settings: declared once, beside the attribute that holds the value.

    idle_timeout: Annotated[float | None, Setting(SECONDS, "close a connection ...")] = None

From these declarations come the constructor's keyword arguments and their validation, the command line's
options and the page of settings in the documentation. A value is read from the server at each use, so that an
assignment to the class or the instance takes effect as `takes_effect` says.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_type_hints

from doorkeep.errors import SettingError

__all__ = ["Kind", "Setting", "apply_settings", "check_setting", "entries_of", "parse_networks", "settings_of"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ADDRESSES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
_MAPPED_PREFIX = 96
_ACCESS_LIST = 'must be networks such as "10.0.0.0/8" or "::1", or for Unix sockets "uid:0" or "gid:0"'
_RATE = re.compile(
    r"\s*[1-9][0-9]*\s*(/|per)\s*([1-9][0-9]*\s*)?(second|minute|hour|day)s?\s*", re.ASCII | re.IGNORECASE
)
# What the system takes for a C int, and, in milliseconds, for the timeout of poll(2).
_MOST = 2**31 - 1
_LONGEST = _MOST // 1000
# What the system takes for the size of a file.
_MOST_BYTES = 2**63 - 1


@dataclass(frozen=True)
class Kind:
    """A kind of value: `check` returns the value to use or raises `ValueError`; `parse` makes one of a text."""

    name: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Setting:
    """What a setting is for.

    `at_limit` says what happens when its value is reached, `takes_effect` when a change does, `streams_only`
    that it means nothing to datagrams. `optional`, which the attribute's type tells, says that None is a value.
    """

    kind: Kind
    summary: str
    at_limit: str = ""
    takes_effect: str = "at once"
    streams_only: bool = False
    optional: bool = False


def settings_of(server_class: type) -> dict[str, Setting]:
    """Return the settings of a server class, those of its bases first, by their names."""
    return dict(_settings_of(server_class))


@lru_cache(maxsize=256)
def _settings_of(server_class: type) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for base in reversed(server_class.__mro__):
        for name, hint in vars(base).get("__annotations__", {}).items():
            # Our own declarations alone: a program's annotations may name what exists for a type checker only.
            if isinstance(hint, str) and hint.startswith("Annotated[") and "Setting(" in hint:
                found[name] = _evaluate(hint, vars(sys.modules[base.__module__]))
    return found


def _evaluate(hint: str, namespace: dict[str, Any]) -> Setting:
    owner = SimpleNamespace(__annotations__={"setting": hint})
    value_type, *extras = get_args(get_type_hints(owner, globalns=namespace, include_extras=True)["setting"])
    setting = next(extra for extra in extras if isinstance(extra, Setting))
    return replace(setting, optional=value_type is Any or NoneType in get_args(value_type))


def apply_settings(server: Any, values: dict[str, Any]) -> None:
    """Check `values` by the declarations of the server's class and set them on the server.

    Raises `SettingError` at the first that does not exist or cannot be; nothing is set then.
    """
    if not values:
        return
    server_class: type = type(server)
    declared = _settings_of(server_class)
    checked = {}
    for name, value in values.items():
        if name not in declared:
            raise SettingError(unknown_setting(name, server_class.__name__, declared))
        checked[name] = check_setting(name, declared[name], value)
    for name, value in checked.items():
        setattr(server, name, value)


def check_setting(name: str, setting: Setting, value: Any) -> Any:
    """Return the value to use for a setting, or raise `SettingError` with a sentence that names it."""
    if value is None and setting.optional:
        return None
    try:
        return setting.kind.check(value)
    except ValueError as error:
        raise SettingError(f"{name} {error}{', or None' if setting.optional else ''}, not {value!r}") from None


def unknown_setting(name: str, owner: str, known: Iterable[str]) -> str:
    """Return the sentence that tells of a setting which `owner` does not have."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"{owner} has no setting {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _count(minimum: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= _MOST:
            raise ValueError(f"must be a whole number from {minimum} to {_MOST}")
        return value

    return check


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_BYTES:
        raise ValueError(f"must be a whole number of bytes from 0 to {_MOST_BYTES}")
    return value


def _seconds(allow_zero: bool) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= _LONGEST or (value == 0 and not allow_zero):
            raise ValueError(f"must be seconds {'from 0' if allow_zero else 'above 0 and'} up to {_LONGEST}")
        return float(value)

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _path(value: Any) -> str:
    try:
        path = os.fsdecode(value)
    except TypeError:
        path = ""
    if not path:
        raise ValueError("must be a path")
    return path


def _flag(value: Any) -> bool:
    if not isinstance(value, int) or value not in (False, True):
        raise ValueError("must be True or False")
    return bool(value)


def _texts(value: Any) -> tuple[str, ...]:
    texts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("must be a list of texts")
    return texts


def _mode(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0o777:
        raise ValueError("must be a file mode such as 0o660")
    return value


def _context(value: Any) -> Any:
    if not hasattr(value, "wrap_socket"):
        raise ValueError("must be an ssl.SSLContext")
    if getattr(getattr(value, "protocol", None), "name", "") == "PROTOCOL_TLS_CLIENT":
        raise ValueError("must be a context for servers, such as ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)")
    return value


def _rate(value: Any) -> str:
    if not isinstance(value, str) or not _RATE.fullmatch(value):
        raise ValueError('must be a rate such as "100/minute" or "10 per 5 seconds"')
    return value


def _choice(*options: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in options:
            raise ValueError(f"must be {' or '.join(map(repr, options))}")
        return str(value)

    return check


@dataclass(frozen=True)
class AccessList:
    """Networks, and for Unix sockets users and groups, as `allow` and `deny` name them."""

    networks: tuple[Network, ...]
    uids: frozenset[int]
    gids: frozenset[int]


def entries_of(value: Any) -> tuple[Any, ...]:
    """Return the entries of an access list; `value` may be a single one."""
    several = isinstance(value, Iterable) and not isinstance(value, (str, *get_args(Network)))
    return tuple(value) if several else (value,)


@lru_cache(maxsize=64)
def parse_networks(entries: tuple[Any, ...]) -> AccessList:
    """Return the access list that `entries` name: "10.0.0.0/8", "::1", "uid:1000", "gid:100".

    Raises `ValueError` with a sentence about the first entry that is none of these.
    """
    networks: list[Network] = []
    owners: dict[str, set[int]] = {"uid": set(), "gid": set()}
    for entry in entries:
        kind, _, number = str(entry).partition(":")
        if kind in owners and number.isascii() and number.isdigit():
            owners[kind].add(int(number))
            continue
        try:
            networks.append(_plain(ipaddress.ip_network(entry)))
        except ValueError as error:
            raise ValueError(f"{_ACCESS_LIST} ({error})") from None
    return AccessList(tuple(networks), frozenset(owners["uid"]), frozenset(owners["gid"]))


def _plain(network: Network) -> Network:
    """Return the IPv4 network that stands behind mapped addresses (RFC 4291 section 2.5.5.2): clients are told so."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_PREFIX:
        address = network.network_address.ipv4_mapped
        if address is not None:
            return ipaddress.IPv4Network((address, network.prefixlen - _MAPPED_PREFIX))
    return network


def _networks(value: Any) -> tuple[Any, ...]:
    entries = entries_of(value)
    # `ip_network` takes numbers and packed bytes too, which nobody means here.
    if not all(isinstance(entry, (str, *get_args(Network), *_ADDRESSES)) for entry in entries):
        raise ValueError(_ACCESS_LIST)
    parse_networks(entries)
    return entries


def _parse_seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("must be a number of seconds") from None


def _parse_count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _parse_size(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number of bytes") from None


def _parse_flag(text: str) -> bool:
    known = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    try:
        return known[text.lower()]
    except KeyError:
        raise ValueError("must be yes or no") from None


def _parse_mode(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError("must be an octal file mode such as 660") from None


def _parse_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def _no_text(text: str) -> Any:
    raise ValueError("cannot be given as a text")


COUNT = Kind("count", _count(0), _parse_count)
POSITIVE_COUNT = Kind("count", _count(1), _parse_count)
BYTES = Kind("bytes", _size, _parse_size)
SECONDS = Kind("seconds", _seconds(allow_zero=False), _parse_seconds)
SECONDS_OR_ZERO = Kind("seconds", _seconds(allow_zero=True), _parse_seconds)
FLAG = Kind("yes or no", _flag, _parse_flag)
TEXT = Kind("text", _text, str)
TEXTS = Kind("texts", _texts, _parse_list)
PATH = Kind("path", _path, str)
MODE = Kind("octal mode", _mode, _parse_mode)
NETWORKS = Kind("networks", _networks, _parse_list)
RATE = Kind("rate", _rate, str)
CONTEXT = Kind("ssl.SSLContext", _context, _no_text)
WAIT_OR_CLOSE = Kind("wait or close", _choice("wait", "close"), str)
LOG_FORMAT = Kind("standard, combined, json or off", _choice("standard", "combined", "json", "off"), str)
