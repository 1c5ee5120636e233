"""What the kernel tells of the other end of a connection: who it is, and how the conversation goes."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["Credentials", "Traffic", "credentials_of", "idle_seconds_of", "is_disconnect", "traffic_of", "unsent_of"]

_SO_PEERCRED: int | None = getattr(socket, "SO_PEERCRED", None)
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)

# struct ucred of unix(7): pid_t, uid_t, gid_t; the last uid stands for a peer that is not known.
_CREDENTIALS = struct.Struct("iII")
_NOBODY = 2**32 - 1

# struct tcp_info of linux/tcp.h: 8 octets, of which the first is the state, then fields of 32 and of 64 bits.
_UNACKNOWLEDGED_SEGMENTS = 24
_LAST_DATA_SENT = 44
_LAST_DATA_RECEIVED = 52
_ROUND_TRIP_TIME = 68
_BYTES_ACKNOWLEDGED = 120
_BYTES_RECEIVED = 128
_BYTES_NOT_SENT = 144
_BYTES_SENT = 200
_TCP_INFO_SIZE = 216
# The states in which the peer's FIN has come, which counts as a byte received (tcp(7), net/tcp_states.h):
# TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING.
_AFTER_FIN = frozenset({6, 7, 8, 9, 11})


@dataclass(frozen=True)
class Credentials:
    """The process at the other end of a Unix socket, as it was when it connected: unix(7), SO_PEERCRED."""

    pid: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Traffic:
    """What a TCP connection has carried: bytes, and the smoothed round-trip time in seconds.

    Of a connection that the peer has reset, `received` may be one byte short: the kernel counts the end of the peer's
    stream as a byte, and does not tell afterwards whether there was one.
    """

    received: int | None = None
    sent: int | None = None
    round_trip_time: float | None = None


def is_disconnect(error: BaseException) -> bool:
    """Return whether an exception says no more than that the peer has gone, as peers do."""
    if isinstance(error, ConnectionError):
        return True
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def credentials_of(request: Any) -> Credentials | None:
    """Return who is at the other end of a connected Unix socket, or None where the kernel does not tell."""
    if _SO_PEERCRED is None or getattr(request, "family", None) != getattr(socket, "AF_UNIX", object()):
        return None
    try:
        found = request.getsockopt(socket.SOL_SOCKET, _SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return None
    pid, uid, gid = _CREDENTIALS.unpack(found)
    return Credentials(pid, uid, gid) if uid != _NOBODY else None


def traffic_of(request: Any) -> Traffic:
    """Return what a TCP connection has carried; all None where the kernel does not tell.

    Bytes that wait to be sent for the first time are not counted, nor are those sent again.
    """
    info = _tcp_info(request)
    if info is None:
        return Traffic()
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED)
    sent, retransmitted = struct.unpack_from("=QQ", info, _BYTES_SENT)
    (microseconds,) = struct.unpack_from("=I", info, _ROUND_TRIP_TIME)
    return Traffic(max(received - (info[0] in _AFTER_FIN), 0), sent - retransmitted, microseconds / 1e6)


def idle_seconds_of(request: Any) -> float | None:
    """Return for how long no byte went either way on a TCP connection, or None where the kernel does not tell."""
    info = _tcp_info(request)
    if info is None:
        return None
    (since_sent,) = struct.unpack_from("=I", info, _LAST_DATA_SENT)
    (since_received,) = struct.unpack_from("=I", info, _LAST_DATA_RECEIVED)
    milliseconds: int = min(since_sent, since_received)
    return milliseconds / 1e3


def unsent_of(request: Any) -> tuple[bool, int] | None:
    """Return whether anything that was sent waits for the peer of a TCP connection, and how many bytes it has taken.

    None where the kernel does not tell.
    """
    info = _tcp_info(request)
    if info is None:
        return None
    (segments,) = struct.unpack_from("=I", info, _UNACKNOWLEDGED_SEGMENTS)
    (not_sent,) = struct.unpack_from("=I", info, _BYTES_NOT_SENT)
    (acknowledged,) = struct.unpack_from("=Q", info, _BYTES_ACKNOWLEDGED)
    return bool(segments or not_sent), acknowledged


def _tcp_info(request: Any) -> bytes | None:
    if _TCP_INFO is None or getattr(request, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = bytes(request.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_SIZE))
    except (OSError, AttributeError):
        return None
    return info if len(info) == _TCP_INFO_SIZE else None
