"""What bounds the messages of a WebSocket, and compresses them: permessage-deflate (RFC 7692), the server's side."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

__all__ = ["ExtensionHeaderError", "MessageBound", "MessageDeflate"]

# Shorter messages become longer by it, or hardly shorter.
_SHORTEST = 64
# For connections by the thousand: 32 KiB each, where zlib's defaults take 256 KiB, for a few percent more to send.
_WINDOW_BITS = 12
_MEMORY_LEVEL = 5
# The end of a flush, which is left out of each message (RFC 7692 section 7.2.1).
_TAIL = b"\x00\x00\xff\xff"
_NO_BITS = RsvBits(False, False, False)
_COMPRESSED = RsvBits(True, False, False)


class MessageBound(Extension):
    """Refuses messages of more than `most` bytes with code 1009, as soon as the head of a frame tells.

    An extension for `wsproto` alone: it is never agreed on with a client. wsproto asks about a head again when it
    came in pieces, so that asking changes nothing.
    """

    name = ""
    _data_bits = _NO_BITS

    def __init__(self, most: int) -> None:
        self._most = most
        self._done = 0  # bytes of the message so far
        self._compressed = False
        self._in_data = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._in_data = not opcode.iscontrol()
        if not self._in_data:
            return _NO_BITS
        if opcode is Opcode.CONTINUATION:
            if rsv.rsv1:  # it is for the first frame to say (RFC 7692 section 6)
                return CloseReason.PROTOCOL_ERROR
        else:
            self._done = 0
            self._compressed = rsv.rsv1
        if not self._compressed and self._done + payload_length > self._most:
            return CloseReason.MESSAGE_TOO_BIG
        return self._data_bits

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if self._in_data:
            self._done += len(data)
        return data


class MessageDeflate(MessageBound):
    """Compresses messages, and bounds what they are when they are decompressed.

    `accepted` is what the client is told of it.
    """

    name = "permessage-deflate"
    _data_bits = _COMPRESSED

    @classmethod
    def agreed_on(cls, header: str, most: int) -> MessageDeflate | None:
        """Return what meets the first offer in a `Sec-WebSocket-Extensions` that can be met, or None.

        Raises `ExtensionHeaderError` if that is no such header.
        """
        for name, parameters in _parse_extensions(header):
            if name == cls.name and _can_be_met(parameters):
                return cls(dict(parameters), most)
        return None

    def __init__(self, parameters: dict[str, str | None], most: int) -> None:
        super().__init__(most)
        self._forgets = "server_no_context_takeover" in parameters
        self._client_forgets = "client_no_context_takeover" in parameters
        bits = parameters.get("server_max_window_bits")
        self._window_bits = min(int(bits or 15), _WINDOW_BITS)
        told: list[str] = [
            name for name in ("server_no_context_takeover", "client_no_context_takeover") if name in parameters
        ]
        if bits is not None:
            told.append(f"server_max_window_bits={bits}")
        self.accepted = "; ".join([self.name, *told])
        self._compressor: Any = None
        self._decompressor: Any = None
        self._compresses = False

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if not (self._in_data and self._compressed):
            return super().frame_inbound_payload_data(proto, data)
        return self._decompress(data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if not (fin and self._in_data and self._compressed):
            return None
        data = self._decompress(_TAIL)
        if self._client_forgets or self._decompressor.eof:
            self._decompressor = None
        return data

    def _decompress(self, data: bytes) -> bytes | CloseReason:
        if self._decompressor is None:
            self._decompressor = zlib.decompressobj(-15)
        room = self._most - self._done
        try:
            # A byte more than there is room for: if that many do not come, no more are to be had.
            found: bytes = self._decompressor.decompress(data, room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if len(found) > room:
            return CloseReason.MESSAGE_TOO_BIG
        # Behind a last block there is an empty one at the most (RFC 7692 section 7.2.3.4), and the tail.
        if len(self._decompressor.unused_data) > 1 + len(_TAIL):
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._done += len(found)
        return found

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        if opcode.iscontrol():
            return rsv, data
        if opcode is not Opcode.CONTINUATION:
            self._compresses = not fin or len(data) >= _SHORTEST
            rsv = _COMPRESSED if self._compresses else rsv
        if not self._compresses:
            return rsv, data
        if self._compressor is None:
            self._compressor = zlib.compressobj(wbits=-self._window_bits, memLevel=_MEMORY_LEVEL)
        # Flushed with each frame, as its receiver may wait for what is in it.
        data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if fin:
            data = data.removesuffix(_TAIL)
            if self._forgets:
                self._compressor = None
        return rsv, data


class ExtensionHeaderError(ValueError):
    """A `Sec-WebSocket-Extensions` does not follow the grammar."""


Parameters = list[tuple[str, str | None]]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"({_TOKEN})"))?'
_parameter = re.compile(_PARAMETER)
_extension = re.compile(rf"[ \t]*({_TOKEN})((?:{_PARAMETER})*)[ \t]*(?:,|$)")


def _parse_extensions(header: str) -> Iterator[tuple[str, Parameters]]:
    """Yield each extension of a header with its parameters (RFC 6455 section 9.1)."""
    position = 0
    while position < len(header):
        match = _extension.match(header, position)
        if match is None:
            raise ExtensionHeaderError(f"no extensions: {header!r}")
        found = _parameter.finditer(match[2])
        yield match[1], [(name, value or quoted or None) for name, value, quoted in (each.groups() for each in found)]
        position = match.end()


def _can_be_met(parameters: Iterable[tuple[str, str | None]]) -> bool:
    """Return whether these are parameters of permessage-deflate, each once, that zlib can do (RFC 7692 section 7.1)."""
    seen = set()
    for name, value in parameters:
        if name in seen:
            return False
        seen.add(name)
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover":
                is_good = value is None
            case "server_max_window_bits":  # zlib has no raw stream with a window of 8 bits
                is_good = value in ("9", "10", "11", "12", "13", "14", "15")
            case "client_max_window_bits":
                is_good = value in (None, "8", "9", "10", "11", "12", "13", "14", "15")
            case _:
                is_good = False
        if not is_good:
            return False
    return True
