"""A client of WebSockets that sends whatever it is told, right or wrong."""

from __future__ import annotations

import socket
import struct
import zlib
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "DEFLATE",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "Messages",
    "RawClient",
    "close_payload",
    "frame",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

# Offers compression.
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

# What the key in the request makes the server answer (RFC 6455 section 1.3).
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@dataclass(frozen=True)
class Frame:
    """A frame as the server sends it: `bits` are its first four, the last of a message has 8."""

    bits: int
    opcode: int
    payload: bytes


def frame(
    opcode: int, payload: bytes = b"", *, bits: int = 8, mask: bytes | None = b"\1\2\3\4", length: int | None = None
) -> bytes:
    """Return a frame as clients send it; `length` is what its head says where that is not true."""
    size = len(payload) if length is None else length
    masked = 0 if mask is None else 0x80
    head = bytes([bits << 4 | opcode])
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + struct.pack("!H", size)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    return head + mask + bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload))


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Return what a close frame carries."""
    return struct.pack("!H", code) + reason


class RawClient:
    """Speaks on a connected socket, from the handshake on; `headers` are sent beside the necessary ones."""

    def __init__(self, sock: socket.socket, headers: str = "", target: str = "/") -> None:
        self.socket = sock
        self.file: Any = sock.makefile("rb")
        self.send(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{headers}\r\n".encode()
        )
        self.status = self.file.readline().decode().rstrip()
        lines = iter(self.file.readline, b"\r\n")
        self.headers = dict(line.decode().rstrip().split(": ", 1) for line in lines)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def receive(self) -> Frame | None:
        """Return the next frame, None at the end of the stream."""
        head = self._read(2)
        if not head:
            return None
        assert not head[1] & 0x80, "servers do not mask"
        size = head[1] & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
        return Frame(head[0] >> 4, head[0] & 15, self._read(size))

    def close_code(self) -> int | None:
        """Return the code of the close frame that must come next, and see that nothing but the end follows."""
        found = self.receive()
        assert found is not None
        assert found.opcode == CLOSE, found
        assert self.receive() is None
        return struct.unpack("!H", found.payload[:2])[0] if found.payload else None

    def end(self) -> None:
        """Send no more."""
        self.socket.shutdown(socket.SHUT_WR)

    def _read(self, size: int) -> bytes:
        data: bytes = self.file.read(size)
        return data

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.socket.close()


class Messages:
    """Puts the messages of a server together again."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._inflate = zlib.decompressobj(-15)

    def receive(self) -> str:
        """Return the next one."""
        first = found = self._client.receive()
        assert first is not None
        assert found is not None
        payload = found.payload
        while not found.bits & 8:
            found = self._client.receive()
            assert found is not None
            assert found.opcode == CONTINUATION
            payload += found.payload
        if first.bits & 4:
            payload = self._inflate.decompress(payload + b"\0\0\xff\xff")
        return payload.decode()
