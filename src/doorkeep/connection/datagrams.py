"""Datagrams whose reply leaves from the address that was asked.

A socket bound to every address of a machine answers from the one that routing prefers, which a client that asked
another takes for a stranger's. The kernel tells the address asked with each datagram (ip(7), IP_PKTINFO; RFC 3542
section 6.1 for IPv6), and takes it back with the reply.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import weakref
from ipaddress import IPv6Address
from typing import Any

__all__ = ["ReplySockets", "TruncatedDatagram"]

# The socket module names it from Python 3.14 on; 8 is its number in linux/in.h.
_IP_PKTINFO: int | None = getattr(socket, "IP_PKTINFO", 8 if sys.platform.startswith("linux") else None)
_IPV6_PKTINFO: int | None = getattr(socket, "IPV6_PKTINFO", None)
_IPV6_RECVPKTINFO: int | None = getattr(socket, "IPV6_RECVPKTINFO", None)
_CONTROL_SIZE = 128
# More local addresses than this and the oldest socket makes way.
_MOST_SOCKETS = 64


class TruncatedDatagram(tuple[bytes, Any]):
    """A request `(data, socket)` whose data was longer on the wire."""

    truncated = True


class _ReplySocket(socket.socket):
    """The listener once more, sending from one of the machine's addresses."""

    control: list[tuple[int, int, bytes]]

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        *flags, address = flags_and_address
        return self.sendmsg([data], self.control, flags[0] if flags else 0, address)

    def __del__(self) -> None:
        self.close()


class ReplySockets:
    """A socket for each local address that clients have asked; for the accepting thread."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = weakref.ref(listener)  # the program may replace it
        self._sockets: dict[bytes, _ReplySocket] = {}
        self._lock = threading.Lock()

    @classmethod
    def for_listener(cls, listener: Any) -> ReplySockets | None:
        """Return one for a listener on every address; None for any other, and where the kernel does not tell."""
        family = getattr(listener, "family", None)
        try:
            if family == socket.AF_INET and _IP_PKTINFO is not None and listener.getsockname()[0] == "0.0.0.0":
                listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            elif family == socket.AF_INET6 and _IPV6_RECVPKTINFO is not None and listener.getsockname()[0] == "::":
                listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            else:
                return None
        except OSError:
            return None
        return cls(listener)

    def receive(self, listener: Any, size: int, flags: int) -> tuple[bytes, Any, Any]:
        """Return a datagram, its client's address and the socket to reply through.

        That is `listener` itself if the program has put another in the place of the one that was bound.
        """
        known = self._listener()
        if known is None or listener is not known:
            data, client_address = listener.recvfrom(size, flags)
            return data, client_address, listener
        data, control, _, client_address = known.recvmsg(size, _CONTROL_SIZE, flags)
        for level, kind, value in control:
            if (level, kind) in ((socket.IPPROTO_IP, _IP_PKTINFO), (socket.IPPROTO_IPV6, _IPV6_PKTINFO)):
                return data, client_address, self._socket_for(known, level, kind, value)
        return data, client_address, listener

    def _socket_for(self, listener: socket.socket, level: int, kind: int, value: bytes) -> _ReplySocket:
        with self._lock:
            known = self._sockets.get(value)
            if known is None:
                if len(self._sockets) >= _MOST_SOCKETS:
                    # Its requests may still hold it: it closes with the last of them.
                    del self._sockets[next(iter(self._sockets))]
                known = _ReplySocket(listener.family, listener.type, listener.proto, os.dup(listener.fileno()))
                known.control = [(level, kind, _source_of(level, value))]
                self._sockets[value] = known
            return known

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._sockets:
                self._sockets.popitem()[1].close()


def _source_of(level: int, value: bytes) -> bytes:
    """Return the control data that makes a reply leave from the address which `value` says was asked."""
    if level == socket.IPPROTO_IP:
        # struct in_pktinfo: interface, local address to send from, address in the header. Routing chooses the
        # interface.
        _, local, _ = struct.unpack("=i4s4s", value)
        return struct.pack("=i4s4s", 0, local, b"\0" * 4)
    # struct in6_pktinfo: address in the header, interface.
    asked, interface = struct.unpack("=16sI", value)
    address = IPv6Address(asked)
    if address.is_multicast:  # nobody's to send from: the interface's own, by its choice
        asked = b"\0" * 16
    elif not address.is_link_local:
        interface = 0  # routing chooses
    return struct.pack("=16sI", asked, interface)
