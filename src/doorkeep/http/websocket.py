"""WebSockets (RFC 6455), on any server of HTTP."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from doorkeep.handlers import read_ahead
from doorkeep.http.deflate import ExtensionHeaderError, MessageBound, MessageDeflate
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.websocket_connection import Message, Sendable, WebSocketClosed, WebSocketConnection

if TYPE_CHECKING:
    from doorkeep.http.exchanges import Exchanges

__all__ = ["WebSocketClosed", "WebSocketHandler"]

# RFC 6455 section 1.3: what every server adds to the client's key.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"
_GOING_AWAY = 1001
_INTERNAL_ERROR = 1011
_KEY_LENGTH = 16


class WebSocketHandler(BaseHTTPRequestHandler):
    """Handles WebSockets: `handle_websocket` is called for each, once it is open.

        class Echo(WebSocketHandler):
            def handle_websocket(self):
                for message in self:
                    self.send(message)

    Text is str, binary data is bytes. The iteration ends when the WebSocket is closed, by either side or because the
    client has gone; `close_code` and `close_reason` tell. When `handle_websocket` returns, the WebSocket is closed with
    code 1000; when it raises, with 1011, and the server is told as of any handler. When the server drains, it is closed
    with 1001.

    What is sent by other threads or greenlets while one receives is sent whole, and in turn. Of a green server's
    connections under TLS, only its greenlets may do so.

    Requests that are not for a WebSocket go to `do_GET` and so on; this `do_GET` answers 426 (Upgrade Required).
    """

    protocol_version = "HTTP/1.1"

    #: The subprotocols that this server speaks, those first that it likes best.
    subprotocols: Sequence[str] = ()
    #: How many bytes a message may have, also when it has been decompressed; more close the WebSocket with 1009.
    max_message_size = 1 << 20
    #: Whether messages may be compressed (RFC 7692), if the client can.
    compression = True
    #: After how many seconds of silence the client is asked whether it is there; None: never.
    ping_interval: float | None = 20.0
    #: How many seconds it has to answer, or to take a piece of what is sent to it; None: any time.
    ping_timeout: float | None = 20.0
    #: For how many seconds the end waits until the client has closed the WebSocket too.
    close_timeout = 5.0

    #: The subprotocol that was agreed on, None if there is none.
    subprotocol: str | None = None

    _websocket: WebSocketConnection

    # -- For handlers --------------------------------------------------------------------------------------------

    def handle_websocket(self) -> Any:
        """Handle a WebSocket; to be overridden."""
        raise NotImplementedError("a WebSocketHandler needs a method handle_websocket")

    def check_origin(self, origin: str | None) -> bool:
        """Return whether pages of an origin, such as "https://example.org", may connect; if not, they get a 403.

        This one lets in the pages of the host that the request is for, and clients that send no origin, as they are
        no browsers. A browser sends its user's cookies with the request, whoever's page has made it do so.
        """
        return origin is None or _host_of(origin) == self.headers.get("Host", "").lower()

    def select_subprotocol(self, offered: Sequence[str]) -> str | None:
        """Return which of the client's subprotocols to speak, or None: the first of `subprotocols` that it offers."""
        return next((protocol for protocol in self.subprotocols if protocol in offered), None)

    def receive(self) -> Message | None:
        """Wait for the next message and return it, or None once the WebSocket is closed. For one thread at a time."""
        return self._websocket.receive()

    def __iter__(self) -> Iterator[Message]:
        return iter(self._websocket)

    def send(self, message: Sendable) -> None:
        """Send a message: a str as text, bytes as binary. Raises `WebSocketClosed` if it has been closed."""
        self._websocket.send(message)

    def send_fragments(self, fragments: Iterable[Sendable]) -> None:
        """Send one message piece by piece, as they come; all are str, or all bytes. None are no message.

        If `fragments` raises, the WebSocket is closed with 1011, and the exception goes on.
        """
        self._websocket.send_fragments(fragments)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close the WebSocket; does not wait, and what the client has sent before can still be received.

        `ValueError` if the code may not be sent (RFC 6455 section 7.4); those from 4000 to 4999 are for programs.
        """
        self._websocket.close(code, reason)

    @property
    def close_code(self) -> int:
        """The code that the WebSocket was closed with: 1005 if the client gave none, 1006 if the connection broke."""
        return self._websocket.code

    @property
    def close_reason(self) -> str:
        """The reason that was given with the code."""
        return self._websocket.reason

    def do_GET(self) -> None:
        """Tell the client that there is a WebSocket here and nothing else."""
        self._refuse_upgrade(HTTPStatus.UPGRADE_REQUIRED, "This is for WebSockets")

    # -- The handshake -------------------------------------------------------------------------------------------

    def _answer(self, exchanges: Exchanges) -> None:
        head = exchanges.head
        if head is None or not head.upgrades or "websocket" not in self._elements("Upgrade", lower=True):
            super()._answer(exchanges)
        elif self._can_open(head.content_length):
            self._open()

    def _can_open(self, content_length: int | None) -> bool:
        """Return whether the handshake is in order (RFC 6455 section 4.2.1); otherwise it has been answered."""
        headers = self.headers
        if headers.get("Sec-WebSocket-Version") != _VERSION:
            self._refuse_upgrade(HTTPStatus.UPGRADE_REQUIRED, f"Version {_VERSION} is spoken here")
        elif self.command != "GET" or content_length != 0 or "Host" not in headers or not _is_key(self._key()):
            self.send_error(HTTPStatus.BAD_REQUEST, "Bad WebSocket handshake")
        elif not self.check_origin(headers.get("Origin")):
            self.send_error(HTTPStatus.FORBIDDEN, "Origin not allowed")
        else:
            return True
        return False

    def _key(self) -> str:
        keys = self.headers.get_all("Sec-WebSocket-Key", [])
        return keys[0] if len(keys) == 1 else ""

    def _open(self) -> None:
        bound = MessageBound(self.max_message_size)
        self.subprotocol = self.select_subprotocol(self._elements("Sec-WebSocket-Protocol"))
        accepted = ""
        if self.compression:
            try:
                agreed = MessageDeflate.agreed_on(self._list("Sec-WebSocket-Extensions"), self.max_message_size)
            except ExtensionHeaderError:
                self.send_error(HTTPStatus.BAD_REQUEST, "Bad Sec-WebSocket-Extensions")
                return
            if agreed is not None:
                bound, accepted = agreed, agreed.accepted
        digest = hashlib.sha1(self._key().encode() + _GUID, usedforsecurity=False).digest()
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        if self.subprotocol is not None:
            self.send_header("Sec-WebSocket-Protocol", self.subprotocol)
        if accepted:
            self.send_header("Sec-WebSocket-Extensions", accepted)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        self._websocket = WebSocketConnection(
            self.connection, read_ahead(self.rfile), bound, self.ping_interval, self.ping_timeout
        )
        self._run()

    def _run(self) -> None:
        websocket = self._websocket
        try:
            with self.on_drain(partial(websocket.close, _GOING_AWAY)):
                self.handle_websocket()
        except Exception:
            websocket.close(_INTERNAL_ERROR)
            websocket.end(self.close_timeout)
            raise
        websocket.end(self.close_timeout)

    def _refuse_upgrade(self, code: int, message: str) -> None:
        """Answer that a WebSocket is wanted here; the connection may go on (RFC 9110 section 15.5.22)."""
        body = f"{message}.\n".encode()
        self.send_response(code)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Version", _VERSION)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, name: str) -> str:
        """Return a header that is a list, whose elements may have come in several lines."""
        return ",".join(self.headers.get_all(name, []))

    def _elements(self, name: str, lower: bool = False) -> list[str]:
        listed = self._list(name)
        return [element.strip(" \t") for element in (listed.lower() if lower else listed).split(",")]


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _KEY_LENGTH
    except (binascii.Error, ValueError):
        return False
