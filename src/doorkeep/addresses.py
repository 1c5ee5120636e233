"""Addresses: reading them from URLs, writing them for people, and claiming them.

tcp://127.0.0.1:9999   tcp://[::]:0   udp://0.0.0.0:53
unix:/run/echo.sock    unix:@abstract    unixgram:/run/log.sock
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from doorkeep.errors import AddressError

__all__ = ["Address", "family_of", "format_address", "host_of", "parse_address", "remove_stale_socket"]

AF_UNIX: int | None = getattr(socket, "AF_UNIX", None)
_FORMS = "tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME or unixgram:PATH"


@dataclass(frozen=True)
class Address:
    """Where to listen: `scheme` is "tcp", "udp", "unix" or "unixgram"; `server_address` is what `bind` takes."""

    scheme: str
    server_address: Any

    @property
    def datagrams(self) -> bool:
        """Whether datagrams arrive there, not connections."""
        return self.scheme in ("udp", "unixgram")

    def __str__(self) -> str:
        return format_address(self.server_address, self.scheme)


def parse_address(url: str) -> Address:
    """Return the address that `url` names.

    A host name stays a name; nothing is looked up. Raises `AddressError` with a sentence.
    """
    scheme, colon, rest = url.partition(":")
    if colon and scheme in ("unix", "unixgram"):
        path = rest.removeprefix("//")
        if not path or path == "@":
            raise AddressError(f"{url!r} names no path: write unix:/run/echo.sock or unix:@name")
        return Address(scheme, "\0" + path[1:] if path.startswith("@") else path)
    if not colon or scheme not in ("tcp", "udp"):
        raise AddressError(f"{url!r} is no address: write {_FORMS}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"{url!r} is no address: {str(error)[:1].lower()}{str(error)[1:]}") from None
    if port is None or not host or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise AddressError(f"{url!r} is no address: write {scheme}://HOST:PORT, for instance {scheme}://[::]:9999")
    return Address(scheme, (host, port))


def format_address(address: Any, scheme: str = "") -> str:
    """Return an address as people write it: `127.0.0.1:9999`, `[::1]:9999`, `/run/echo.sock`, `@abstract`.

    With a scheme, as a URL that `parse_address` reads. An address of another form is shown as it is.
    """
    separator = "//" if scheme in ("tcp", "udp") else ""
    prefix = f"{scheme}:{separator}" if scheme else ""
    if isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str):
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"{prefix}{host}:{address[1]}"
    if isinstance(address, (str, bytes)):
        path = os.fsdecode(address)
        return prefix + ("@" + path[1:] if path.startswith("\0") else path or "unnamed")
    return prefix + str(address)


def family_of(server_address: Any, default: int) -> int:
    """Return the address family that fits `server_address`, where the class says no more than AF_INET, its default.

    A path is AF_UNIX, a literal IPv6 address AF_INET6. A host name stays with the default.
    """
    if default != socket.AF_INET:
        return default
    if isinstance(server_address, (str, bytes, os.PathLike)) and AF_UNIX is not None:
        return AF_UNIX
    if isinstance(server_address, tuple) and server_address and ":" in str(server_address[0]):
        return socket.AF_INET6
    return default


def host_of(client_address: Any) -> str | None:
    """Return the host that a client's address names, or None where it names none, as on Unix sockets.

    An IPv4 client of a dual-stack listener is told by its IPv4 address.
    """
    if not isinstance(client_address, tuple) or not client_address or not isinstance(client_address[0], str):
        return None
    host = client_address[0]
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def ip_of(client_address: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address of a client, its zone left out, or None where it has none."""
    host = host_of(client_address)
    if host is None:
        return None
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def remove_stale_socket(path: Any, socket_type: int) -> None:
    """Remove the socket file at `path` if no server listens there any more.

    Raises `OSError` with EADDRINUSE if one does. Leaves alone what is no socket, and abstract names.
    """
    if AF_UNIX is None or not path or os.fsencode(path).startswith(b"\0"):
        return
    with contextlib.suppress(FileNotFoundError):  # never there, or gone by now
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            with socket.socket(AF_UNIX, socket_type) as probe:
                if _reaches(probe, path):
                    raise OSError(errno.EADDRINUSE, f"a server already listens at {format_address(path)}")
            os.unlink(path)


def _reaches(probe: socket.socket, path: Any) -> bool:
    probe.setblocking(False)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        return False
    except BlockingIOError:  # its backlog is full
        return True
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
        return True  # a socket of another type than ours
    return True
