"""What a program subclasses to handle requests."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from io import BufferedIOBase, BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, ClassVar

from doorkeep.connection.steps import Steps

if TYPE_CHECKING:
    import ssl
    from asyncio import StreamReader, StreamWriter

    from doorkeep.connection.tls import TLSInfo

__all__ = ["BaseRequestHandler", "DatagramRequestHandler", "StreamRequestHandler"]


class BaseRequestHandler:
    """Handles one request: the constructor calls `setup`, `handle` and `finish`.

    `request` is a connected socket, or for datagrams the tuple `(data, socket)`; `server` is the server that calls.
    `finish` follows whatever `handle` did; after a `setup` that failed it does not. Returns nothing to the server
    and closes nothing: the server does.

    Where `handle` is a coroutine function, the server must mix in `AsyncMixIn`, whose task calls the three; connections
    then have a `reader` and a `writer`. Such a handler raises `TypeError` on any other server.
    """

    _is_async: ClassVar[bool] = False

    if TYPE_CHECKING:  # of coroutine handlers
        reader: StreamReader
        writer: StreamWriter

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._is_async = inspect.iscoroutinefunction(cls.handle)

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self.request = request
        self.client_address = client_address
        self.server = server
        if self._is_async:
            self._hand_over()
            return
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()

    def setup(self) -> Any:
        """Prepare to handle."""

    def handle(self) -> Any:
        """Handle the request."""

    def finish(self) -> Any:
        """Clean up."""

    def on_drain(self, function: Callable[[], object]) -> AbstractContextManager[None]:
        """Have a function called if the server drains while a `with` block lasts, for a conversation to end itself.

            with self.on_drain(self.say_goodbye):
                self.talk()

        It is called once, beside the handler: in a thread of its own, a greenlet under `GreenMixIn`, between the tasks
        under `AsyncMixIn`. The block does not end amid the call, and begins with it where the server drains already.
        What the function raises is logged. A server whose requests run in the thread of its loop, as greenlets do,
        calls it when it is shut down, too. Other servers than doorkeep's never do.
        """
        from doorkeep.server import BaseServer

        if not isinstance(self.server, BaseServer):
            return nullcontext()
        from doorkeep.connection.drain_notice import DrainNotice

        return DrainNotice(self.server, self._admitted or self.request, function)

    # What the server knows the connection by, where `request` is no longer that.
    _admitted: Any = None

    def _hand_over(self) -> None:
        take_handler = getattr(self.server, "_take_handler", None)
        if take_handler is None:
            name = type(self).__qualname__
            raise TypeError(f"{name}.handle is a coroutine function: its server must mix in AsyncMixIn")
        take_handler(self)


class StreamRequestHandler(BaseRequestHandler):
    """Handles a connection, with `rfile` to read from it and `wfile` to write to it.

    `rfile` is buffered by `rbufsize` bytes (-1: the default size of `io`, 0: not at all). `wfile` sends each write
    at once and whole, unless `wbufsize` makes it buffered. `timeout`, seconds, is set on the connection if not None.

    Where `handle` is a coroutine function it has, instead of the files, `reader`, an `asyncio.StreamReader` whose limit
    is `rbufsize` if that is positive, and `writer`, an `asyncio.StreamWriter`. `timeout` must be None, as
    `asyncio.timeout` is for that. Nagle's algorithm is off.
    """

    rbufsize = -1
    wbufsize = 0
    timeout: float | None = None
    disable_nagle_algorithm = False

    def setup(self) -> Any:
        self.connection = self.request
        if self._is_async:
            if self.timeout is not None:
                raise ValueError("timeout is for blocking calls: within a coroutine use asyncio.timeout")
            return
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._open_files()

    def finish(self) -> Any:
        if self._is_async:
            return  # the server sends what is left, and closes
        if not self.wfile.closed:
            try:
                self.wfile.flush()
            except OSError:
                # The peer has gone, and its bytes with it, which a buffered file sends once more as it closes.
                with contextlib.suppress(OSError):
                    self.wfile.close()
        self.wfile.close()
        self.rfile.close()
        upgraded = self._upgraded
        if upgraded is not None:
            self._upgraded = None
            from doorkeep.connection.tls import say_goodbye

            say_goodbye(upgraded)
            upgraded.close()

    def _open_files(self) -> None:
        self.rfile: Any = self.connection.makefile("rb", self.rbufsize)
        self.wfile: Any
        if self.wbufsize == 0:
            make_writer = getattr(self.connection, "make_writer", None)  # green connections have it
            if make_writer is not None:
                self.wfile = make_writer(getattr(self.server, "coalesce_writes", False))
            else:
                self.wfile = _SocketWriter(self.connection)
        else:
            self.wfile = self.connection.makefile("wb", self.wbufsize)

    # -- TLS -----------------------------------------------------------------------------------------------------

    _upgraded: ssl.SSLSocket | None = None

    @property
    def tls(self) -> TLSInfo | None:
        """What the TLS handshake agreed on (version, cipher, server name, ALPN protocol, client certificate).

        None on a connection that is not encrypted.
        """
        if self._is_async:
            found: TLSInfo | None = self.server._tls_info_of(self)
            return found
        from doorkeep.connection.tls import tls_info

        return tls_info(self.request)

    def start_tls(self, context: ssl.SSLContext) -> Any:
        """Go on under TLS, as after a STARTTLS command: shake hands and replace `request`, `rfile` and `wfile`.

        Write the answer that announces it first. What the client has sent ahead of its handshake is refused with
        `ssl.SSLError`, so that no one can slip commands in. Raises `OSError` if the handshake fails, `ValueError`
        if the context is one for clients; the connection is of no use then. The server's deadlines go on.

        In a coroutine, `await` it: it replaces `reader` and `writer`. Between the answer and this, await nothing else.
        """
        if self._is_async:
            return self.server._start_tls(self, context)
        from doorkeep.connection.tls import note_server_names

        if read_ahead(self.rfile):
            import ssl

            raise ssl.SSLError("the client sent bytes ahead of its TLS handshake")
        self.wfile.flush()
        self.wfile.close()
        self.rfile.close()
        note_server_names(context)
        plain = self.connection
        # A descriptor of its own: the server closes `plain`, which stays what it knows this connection by.
        duplicate = socket.socket(plain.family, plain.type, plain.proto, fileno=os.dup(plain.fileno()))
        duplicate.settimeout(plain.gettimeout())
        upgraded: Any = context.wrap_socket(duplicate, server_side=True, do_handshake_on_connect=False)
        made_alike = getattr(plain, "made_alike", None)  # green connections have it
        if made_alike is not None:
            upgraded = made_alike(upgraded)
        self._admitted = plain
        self.request = self.connection = self._upgraded = upgraded
        self._open_files()
        try:
            upgraded.do_handshake()
        except BaseException:
            # Within `setup` there is no `finish` to come.
            self._upgraded = None
            self.wfile.close()
            self.rfile.close()
            upgraded.close()
            raise


def read_ahead(file: Any) -> bytes:
    """Return what the `rfile` of a connection has read and not handed out; it can read no more afterwards."""
    unread = getattr(file, "unread", None)  # those of green connections have it
    if unread is not None:
        return bytes(unread())
    if not isinstance(file, BufferedReader):
        return b""
    raw: Any = file.raw
    # With nothing in its buffer `peek` reads: without this, what belongs to the handshake.
    raw.readinto = lambda buffer: None
    return file.peek()


class _SocketWriter(BufferedIOBase):
    """Writes to a socket, each write at once and whole."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def writable(self) -> bool:
        return True

    def write(self, b: Any) -> int:
        self._sock.sendall(b)
        with memoryview(b) as view:
            return view.nbytes

    def fileno(self) -> int:
        return self._sock.fileno()


class DatagramRequestHandler(BaseRequestHandler):
    """Handles a datagram: `packet` is its bytes, `rfile` reads them, `wfile` collects the one reply.

    `truncated` tells that the datagram was longer than the server's `max_packet_size` and `packet` is its
    beginning. A reply with no bytes is sent too, unless the server's `reply_when_empty` is False.
    """

    @property
    def truncated(self) -> bool:
        """Whether the datagram was longer than `packet`."""
        return bool(getattr(self.request, "truncated", False))

    def setup(self) -> Any:
        self.packet, self.socket = self.request
        self.rfile: Any = BytesIO(self.packet)
        self.wfile: Any = BytesIO()

    def finish(self) -> Any:
        reply = self.wfile.getvalue()
        if not reply and not (self.client_address and getattr(self.server, "reply_when_empty", True)):
            return
        if self._is_async:
            self.server._send_reply(self.socket, reply, self.client_address)
        else:
            self.socket.sendto(reply, self.client_address)


_new: Any = object.__new__  # looked up once
_DATAGRAM_STEPS = Steps(DatagramRequestHandler, "setup", "__init__")


def caller_of(kind: Any) -> Callable[[Any, Any, Any, Any], object]:
    """Return what does the same as calling a handler class, in fewer steps where all of its own are the usual ones.

    Takes the class, and then what the class takes. For as long as nobody puts other steps in their place.
    """
    if type(kind) is not type or kind.__new__ is not _new:
        return _call
    if issubclass(kind, DatagramRequestHandler) and _DATAGRAM_STEPS.are_plain_of(kind) and not kind._is_async:
        return _handle_datagram
    return _construct


def _call(kind: Any, request: Any, client_address: Any, server: Any) -> None:
    kind(request, client_address, server)


def _construct(kind: Any, request: Any, client_address: Any, server: Any) -> None:
    # Without the C frames of calling a class: each greenlet keeps a copy of them while it waits.
    handler = _new(kind)
    handler.__init__(request, client_address, server)


def _handle_datagram(kind: type[DatagramRequestHandler], request: Any, client_address: Any, server: Any) -> None:
    handler = _new(kind)
    handler.request = request
    handler.client_address = client_address
    handler.server = server
    handler.packet, handler.socket = request
    handler.rfile, handler.wfile = BytesIO(handler.packet), BytesIO()
    try:
        handler.handle()
    finally:
        handler.finish()
