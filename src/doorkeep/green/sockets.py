"""Sockets whose calls let other greenlets run while they wait."""

from __future__ import annotations

import _socket
import errno
import io
import os
import socket
import sys
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from doorkeep.green.core import Channel, Hub, Reader, SocketMethods, Writer
from doorkeep.green.hub import hub_of_thread
from doorkeep.green.sleeping import pauses, sleep

if TYPE_CHECKING:
    import ssl
    from socket import socket as _Socket
else:
    _Socket = object  # no base, so that an encrypted connection can be made one by its class alone

__all__ = ["GreenSocket", "green"]

Result = TypeVar("Result")

_INTERNET = {socket.AF_INET, socket.AF_INET6}
_DO_NOT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
# Bytes of a file that leave before others have their turn.
_PART_OF_FILE = 1 << 17


class WaitingSocket(_Socket):
    """What green sockets share, encrypted or not: `_channel` waits, and knows the timeout."""

    __slots__ = ()

    _channel: Channel
    _io_refs: int
    _closed: bool

    def _when_readable(self, call: Callable[..., Result], *arguments: Any, flags: int = 0) -> Result:
        until = 0.0
        while True:
            self._channel.spend()
            try:
                return call(*arguments)
            except BlockingIOError:
                if flags & _DO_NOT_WAIT and self._channel.timeout is None:
                    raise
                until = self._channel.wait_readable(until)

    def _when_writable(self, call: Callable[..., Result], *arguments: Any, flags: int = 0) -> Result:
        until = 0.0
        while True:
            self._channel.spend()
            try:
                until = self._channel.take_turn(until, flags)
                return call(*arguments)
            except BlockingIOError:
                if flags & _DO_NOT_WAIT and self._channel.timeout is None:
                    raise
                until = self._channel.wait_writable(until)

    # -- Calls that may wait -------------------------------------------------------------------------------------

    # An encrypted connection takes most of them only once TLS has been unwrapped.

    def recvfrom(self, bufsize: int, flags: int = 0) -> Any:
        return self._when_readable(super().recvfrom, bufsize, flags, flags=flags)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
        return self._when_readable(super().recvfrom_into, buffer, nbytes, flags, flags=flags)

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> Any:
        return self._when_readable(super().recvmsg, bufsize, ancbufsize, flags, flags=flags)

    def recvmsg_into(self, buffers: Any, ancbufsize: int = 0, flags: int = 0) -> Any:
        return self._when_readable(super().recvmsg_into, buffers, ancbufsize, flags, flags=flags)

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        flags = flags_and_address[0] if len(flags_and_address) == 2 else 0
        return self._when_writable(super().sendto, data, *flags_and_address, flags=flags)

    def sendmsg(self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None) -> int:
        return self._when_writable(super().sendmsg, buffers, ancdata, flags, address, flags=flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self._channel.take_turn()
        kept = self._channel.keep_turn()
        try:
            return super().sendfile(file, offset, count)
        finally:
            if kept:
                self._channel.end_turn()

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file from the page cache; called by `sendfile`, which sends what is not there by reading it."""
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]  # of `socket.socket`
        if self.gettimeout() == 0:
            raise ValueError("non-blocking sockets are not supported")
        source = _descriptor_of_file(file)
        sent = 0
        try:
            while count is None or sent < count:
                part = _PART_OF_FILE if count is None else min(count - sent, _PART_OF_FILE)
                length = self._when_writable(os.sendfile, super().fileno(), source, offset + sent, part)
                if length == 0:
                    break
                sent += length
                if self._channel.hub.parks():
                    self._channel.hub.give_way()
        except OSError as error:
            if sent or error.errno != errno.EINVAL:  # which says that the file has to be read, as those of /proc
                raise
            _use_send_instead(error)
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)
        return sent

    # -- Time ----------------------------------------------------------------------------------------------------

    def settimeout(self, value: float | None) -> None:
        if value is not None and not 0 <= value < inf:
            raise ValueError("Timeout value out of range")
        self._channel.timeout = value

    def gettimeout(self) -> float | None:
        return self._channel.timeout

    timeout = property(gettimeout)

    def setblocking(self, flag: bool) -> None:
        self.settimeout(None if flag else 0.0)

    def wait_writable(self, seconds: float) -> None:
        """Wait until there is room to send; `TimeoutError` after so many seconds."""
        before = self.gettimeout()
        self.settimeout(seconds)
        try:
            self._channel.wait_writable()
        finally:
            self.settimeout(before)

    def getblocking(self) -> bool:
        return self.gettimeout() != 0

    # -- Files ---------------------------------------------------------------------------------------------------

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: Any) -> Any:
        if mode not in ("rb", "br") or buffering == 0:
            return super().makefile(mode, buffering, **text)  # type: ignore[call-overload]  # its own are literals
        self._io_refs += 1
        return Reader(self._source(), self)

    def make_writer(self, collects: bool = False) -> Writer:
        """Return a file that sends each write whole: at once, or `collects` them until the greenlet next waits."""
        return Writer(self._source(), self, self._channel.hub, collects)

    def _source(self) -> Any:
        return self

    def made_alike(self, other: socket.socket) -> socket.socket:
        """Return another connection as one of the same hub."""
        return green(self._channel.hub, other)

    def fileno(self) -> int:
        """Return the descriptor. As it may be written to, what `wfile` is given is sent at once from now on."""
        channel = getattr(self, "_channel", None)  # which asks for it itself
        if channel is not None:
            channel.expose()
        return super().fileno()

    # -- The end -------------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        self._channel.settle()
        super().shutdown(how)

    def _real_close(self, *base: Any) -> None:
        self._channel.settle()
        self._channel.close()
        super()._real_close(*base)  # type: ignore[misc]  # what `close` calls once no file is open

    def detach(self) -> int:
        self._channel.settle()
        self._channel.forget()
        if super().fileno() >= 0:  # else it is closed, or detached already
            super().setblocking(self.gettimeout() is None)
        return super().detach()


class GreenSocket(SocketMethods, WaitingSocket, socket.socket):
    """A socket of a hub: where a plain one would block the thread, this one lets other greenlets run.

    It belongs to the hub of the thread that makes it; `RuntimeError` where there is none. In other threads, and
    after the hub has ended, it blocks as a plain one does.
    """

    __slots__ = ("_channel",)

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        hub = hub_of_thread()
        if hub is None:
            raise RuntimeError("a green socket needs a hub, and none runs in this thread")
        super().__init__(family, type, proto, fileno)
        self._join(hub, self.type == socket.SOCK_STREAM and self.family in _INTERNET)

    @classmethod
    def of_descriptor(cls, hub: Hub, family: int, kind: int, proto: int, descriptor: int) -> GreenSocket:
        """Return a socket for a descriptor, which it owns from now on."""
        new = cls.__new__(cls)
        new._io_refs = 0
        new._closed = False
        # What `socket.socket` does beyond this is to find out what we know.
        _socket.socket.__init__(new, family, kind, proto, descriptor)
        new._join(hub, kind == socket.SOCK_STREAM and family in _INTERNET)
        return new

    def _join(self, hub: Hub, short_is_empty: bool) -> None:
        # Only a TCP stream is known to be empty after a short read: others may have borders within.
        channel = self._channel = Channel(hub, self, short_is_empty)
        channel.timeout = _socket.getdefaulttimeout()
        _socket.socket.setblocking(self, False)

    def _source(self) -> Any:
        return self._channel

    def dup(self) -> GreenSocket:
        copy = GreenSocket.of_descriptor(
            self._channel.hub, self.family, self.type, self.proto, socket.dup(self.fileno())
        )
        copy.settimeout(self.gettimeout())
        return copy

    # -- Calls that may wait -------------------------------------------------------------------------------------

    def accept(self) -> tuple[GreenSocket, Any]:
        descriptor, address = self._when_readable(super()._accept)  # type: ignore[misc]  # of the C base
        return GreenSocket.of_descriptor(self._channel.hub, self.family, self.type, self.proto, descriptor), address

    def connect(self, address: Any) -> None:
        number = self.connect_ex(address)
        if number == errno.EAGAIN and self.gettimeout() is not None and self.gettimeout() != 0:
            raise TimeoutError("timed out")
        if number:
            raise OSError(number, os.strerror(number))

    def connect_ex(self, address: Any) -> int:
        number = self._connect_once_there_is_room(address)
        if number != errno.EINPROGRESS or self.gettimeout() == 0:
            return number
        try:
            self._channel.wait_writable()
        except TimeoutError:
            return errno.EAGAIN
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _connect_once_there_is_room(self, address: Any) -> int:
        seconds = self.gettimeout()
        until = inf if seconds is None else monotonic() + seconds
        pause = pauses()
        number = super().connect_ex(address)
        # While a Unix server's backlog is full, the kernel tells nobody when there is room: connect(2), EAGAIN.
        while number == errno.EAGAIN and self.family == socket.AF_UNIX and (rest := until - monotonic()) > 0:
            sleep(min(next(pause), rest))
            number = super().connect_ex(address)
        return number


def green(hub: Hub, connection: socket.socket) -> socket.socket:
    """Return a connection as one of a hub's; one that is already stays what it is.

    A plain one is used up. An encrypted one stays the same object, whatever state its handshake is in.
    """
    if isinstance(connection, WaitingSocket):
        return connection
    if is_tls(connection):
        from doorkeep.green.tls import green_tls

        return green_tls(hub, cast("ssl.SSLSocket", connection))
    timeout = connection.gettimeout()
    family, kind, proto = connection.family, connection.type, connection.proto
    made = GreenSocket.of_descriptor(hub, family, kind, proto, connection.detach())
    made.settimeout(timeout)
    return made


def is_tls(connection: Any) -> bool:
    """Return whether a connection is encrypted, without importing `ssl` for it."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(connection, ssl.SSLSocket)


def _descriptor_of_file(file: Any) -> int:
    try:
        descriptor: int = file.fileno()
        os.fstat(descriptor)
    except (AttributeError, io.UnsupportedOperation, OSError) as error:
        _use_send_instead(error)
    if not hasattr(os, "sendfile"):
        _use_send_instead(OSError("there is no sendfile on this system"))
    return descriptor


def _use_send_instead(error: Exception) -> NoReturn:
    give_up: type[Exception] = socket._GiveupOnSendfile  # type: ignore[attr-defined]  # what `sendfile` looks for
    raise give_up(error)
