"""The methods of a green socket that its channel has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doorkeep.green.pure.channel import Channel

__all__ = ["SocketMethods"]


class SocketMethods:
    """The calls of a green socket that matter for speed; with the compiled hub no frame of Python lies between."""

    __slots__ = ()

    _channel: Channel

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        return self._channel.recv(bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return self._channel.recv_into(buffer, nbytes, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        return self._channel.send(data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._channel.sendall(data, flags)
