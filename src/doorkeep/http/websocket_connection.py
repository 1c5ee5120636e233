"""A WebSocket connection (RFC 6455) once it is open: messages in both directions, and how it ends."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from doorkeep.connection.deadlines import cut
from doorkeep.connection.prologue import is_tls
from doorkeep.http.deflate import MessageBound
from doorkeep.http.duplex import DuplexTLS
from doorkeep.http.lingering import linger

__all__ = ["Message", "Sendable", "WebSocketClosed", "WebSocketConnection"]

Message = str | bytes
# What may be sent, too.
Sendable = Message | bytearray | memoryview

_RECEIVED_AT_ONCE = 1 << 16
# What is sent at once: a client that takes no such piece for as long as it may be silent has gone.
_PIECE = 1 << 16


class WebSocketClosed(ConnectionError):
    """The WebSocket has been closed, and nothing can be sent any more: `code` and `reason` say why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket is closed with {code}" + (f", {reason}" if reason else ""))
        self.code = code
        self.reason = reason


class WebSocketConnection:
    """Sends and receives messages on a socket; what was received before is in `received`.

    `code` and `reason` are those that the connection was closed with, 1006 until then. One thread or greenlet
    receives, any may send. `ping_interval` and `ping_timeout` are in seconds: after so long without a byte from the
    client it is asked to answer, and after so long without an answer the connection ends; None: never.
    """

    def __init__(
        self,
        sock: Any,
        received: bytes,
        bound: MessageBound,
        ping_interval: float | None,
        ping_timeout: float | None,
    ) -> None:
        self.code: int = CloseReason.ABNORMAL_CLOSURE
        self.reason = ""
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._protocol = Connection(ConnectionType.SERVER, [bound], received)
        self._events = self._protocol.events()
        self._has_ended = self._has_failed = False
        self._close_sent = False
        self._pinged = False
        self._text = io.StringIO()
        self._bytes = bytearray()
        is_green = hasattr(sock, "make_writer")
        self._connection = sock
        self._socket: Any = DuplexTLS(sock) if not is_green and is_tls(sock) else sock
        if ping_interval is not None:
            self._socket.settimeout(ping_interval)
        make_lock = _green_lock if is_green else threading.Lock
        # Of the frames of one message none of another may be amid; of its frames, control frames may.
        self._sending_message: Any = make_lock()
        self._sending_frame: Any = make_lock()

    # -- Receiving -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Message]:
        return iter(self.receive, None)

    def receive(self) -> Message | None:
        """Wait for the next message and return it; None once the connection has been closed."""
        while not self._has_ended:
            event = next(self._events, None)
            if event is None:
                self._receive_more()
            elif isinstance(event, (TextMessage, BytesMessage)):
                if (message := self._collect(event)) is not None:
                    return message
            elif isinstance(event, Ping):
                self._reply(event.response())
            elif isinstance(event, CloseConnection):
                self._on_close(event)
        return None

    def _receive_more(self) -> None:
        try:
            data = self._socket.recv(_RECEIVED_AT_ONCE)
        except TimeoutError:
            self._on_silence()
            return
        except OSError:  # reset, or cut by a deadline of the server's
            data = b""
        if not data:
            self._has_ended = True
            return
        if self._pinged:
            self._pinged = False
            self._socket.settimeout(self._ping_interval)
        self._protocol.receive_data(data)
        self._events = self._protocol.events()

    def _on_silence(self) -> None:
        if self._close_sent:  # and not answered
            self._has_ended = True
        elif self._pinged:
            self.fail(CloseReason.INTERNAL_ERROR, "no answer to a ping")
        else:
            self._pinged = True
            self._socket.settimeout(self._ping_timeout)
            self._reply(Ping())

    def _collect(self, event: TextMessage | BytesMessage) -> Message | None:
        """Take a piece of a message; return the message if it was the last."""
        message: Message
        if isinstance(event, TextMessage):
            self._text.write(event.data)
            if not event.message_finished:
                return None
            message = self._text.getvalue()
            self._text = io.StringIO()
        else:
            self._bytes += event.data
            if not event.message_finished:
                return None
            message = bytes(self._bytes)
            self._bytes = bytearray()
        return message

    def _on_close(self, event: CloseConnection) -> None:
        if self._protocol.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            # What came is no WebSocket, or too much of it.
            is_too_big = event.code == CloseReason.MESSAGE_TOO_BIG
            self.fail(event.code, "the message is too long" if is_too_big else event.reason or "")
            return
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._reply(event.response())
        self._end(event.code, event.reason or "")

    # -- Sending -------------------------------------------------------------------------------------------------

    def send(self, message: Sendable) -> None:
        """Send a message: a str as text, bytes as binary. Raises `WebSocketClosed` if that is not possible."""
        with self._sending_message:
            self._transmit(_event_of(message, True))

    def send_fragments(self, fragments: Iterable[Sendable]) -> None:
        """Send a message in fragments, each as it comes; all are str, or all bytes. None are no message.

        If `fragments` raises, or is of both kinds, the connection is closed with 1011, and the exception goes on.
        """
        with self._sending_message:
            last: Sendable | None = None
            try:
                for fragment in fragments:
                    self._transmit(_event_of(fragment, False))
                    last = fragment
            except Exception:
                if last is not None:
                    self.fail(CloseReason.INTERNAL_ERROR, "")  # a message that has begun cannot be taken back
                raise
            if last is not None:
                self._transmit(_event_of("" if isinstance(last, str) else b"", True))

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Tell the client that the connection is to be closed, unless that has been told; do not wait.

        Messages that it has sent before can still be received. A long `reason` is cut. `ValueError` for a code that
        may not be sent (RFC 6455 section 7.4).
        """
        if not _may_be_sent(code):
            raise ValueError(f"a WebSocket cannot be closed with code {code}")
        self._reply(CloseConnection(code, reason))

    def fail(self, code: int, reason: str) -> None:
        """Close the connection, and receive nothing more, whatever the client says (RFC 6455 section 7.1.7)."""
        self._reply(CloseConnection(code, reason))
        self._end(code, reason)
        self._has_failed = True

    def end(self, seconds: float) -> None:
        """Close the connection, if it is not yet, and wait so many seconds for the client to do so too."""
        self._reply(CloseConnection(CloseReason.NORMAL_CLOSURE))
        deadline = time.monotonic() + seconds
        while not self._has_ended and (rest := deadline - time.monotonic()) > 0:
            self._socket.settimeout(rest)
            self.receive()
        if isinstance(self._socket, DuplexTLS):
            self._socket.restore()
        if self._has_failed:
            linger(self._connection, deadline - time.monotonic())

    def _reply(self, event: Event) -> None:
        """Send a control frame, if the connection still takes it."""
        with suppress(WebSocketClosed):
            self._transmit(event)

    def _transmit(self, event: Event) -> None:
        with self._sending_frame:
            if self._close_sent or self._has_ended:
                raise WebSocketClosed(self.code, self.reason)
            try:
                data = self._protocol.send(event)
                self._close_sent = isinstance(event, CloseConnection)
                for start in range(0, len(data), _PIECE):
                    self._socket.sendall(data[start : start + _PIECE])
            except LocalProtocolError:  # the client has closed it, and has yet to be answered
                raise WebSocketClosed(self.code, self.reason) from None
            except OSError as error:
                self._has_ended = True
                cut(self._connection)  # so that whoever waits for it does no longer
                raise WebSocketClosed(self.code, self.reason) from error

    def _end(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        self._has_ended = True


def _event_of(message: Sendable, is_last: bool) -> Event:
    if isinstance(message, str):
        return TextMessage(message, message_finished=is_last)
    if isinstance(message, (bytes, bytearray, memoryview)):
        return BytesMessage(bytes(message), message_finished=is_last)
    raise TypeError(f"a message is a str or bytes, not {type(message).__name__}")


def _may_be_sent(code: int) -> bool:
    return 1000 <= code < 5000 and code not in (1004, 1005, 1006, 1015) and not 1014 < code < 3000


def _green_lock() -> Any:
    from doorkeep.green import Lock

    return Lock()
