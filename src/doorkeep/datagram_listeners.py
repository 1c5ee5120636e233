"""The servers of datagrams: UDP, and their Unix counterpart."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from doorkeep import events
from doorkeep.addresses import AF_UNIX, host_of
from doorkeep.connection.admission import admits_all
from doorkeep.connection.datagrams import ReplySockets, TruncatedDatagram
from doorkeep.connection.steps import Steps
from doorkeep.connection.watch import ListenerWatch
from doorkeep.errors import SettingError
from doorkeep.listeners import TCPServer
from doorkeep.server import BaseServer
from doorkeep.settings import FLAG, POSITIVE_COUNT, Setting, settings_of

__all__ = ["UDPServer", "UnixDatagramServer"]


class UDPServer(TCPServer):
    """Serves UDP datagrams, each a request `(data, socket)`.

    A reply leaves from the address that the client asked, also where the server listens on every address.
    """

    socket_type = socket.SOCK_DGRAM

    max_packet_size: Annotated[
        int,
        Setting(
            POSITIVE_COUNT,
            "how many bytes of a datagram a handler sees",
            at_limit="the rest is cut off; the request says so by its attribute truncated, and it is counted",
        ),
    ] = 8192
    reply_when_empty: Annotated[
        bool,
        Setting(FLAG, "whether a DatagramRequestHandler that wrote nothing sends an empty datagram"),
    ] = True

    _receive_flags = 0

    def _check_settings(self, given: dict[str, Any]) -> None:
        declared = settings_of(type(self))
        for name in given:
            if declared[name].streams_only and given[name] is not None:
                raise SettingError(f"{name} is for connections; {type(self).__name__} serves datagrams")

    def server_bind(self) -> None:
        super().server_bind()
        self._reply_sockets = ReplySockets.for_listener(self.socket)

    def server_activate(self) -> None:
        """Do nothing: datagrams need no listen."""

    def get_request(self) -> tuple[Any, Any]:
        """Receive a datagram."""
        size = self.max_packet_size
        listener = self.socket
        replies = self._reply_sockets
        # A byte more than asked for tells a datagram that was cut from one that just fits.
        if replies is None:
            data, client_address = listener.recvfrom(size + 1, self._receive_flags)
            reply_socket = listener
        else:
            data, client_address, reply_socket = replies.receive(listener, size + 1, self._receive_flags)
        request = (data, reply_socket)
        return request if len(data) <= size else self._truncated(request, client_address), client_address

    def _truncated(self, request: tuple[bytes, Any], client_address: Any) -> TruncatedDatagram:
        """Return a request without what a handler is not to see, and tell of it."""
        size = self.max_packet_size
        self._event_counts.add("truncated")
        if events.DatagramTruncated.listeners:
            events.DatagramTruncated(self._itself, client_address, size).emit()
        return TruncatedDatagram((request[0][:size], request[1]))

    def server_close(self) -> None:
        super().server_close()
        if self._reply_sockets is not None:
            self._reply_sockets.close()

    def _stop_listening(self) -> None:
        # Its socket sends the replies.
        pass

    # -- Several datagrams in a turn of the loop -----------------------------------------------------------------

    def _handle_waiting_requests(self, until: float) -> None:
        listener = self.socket
        if self._batched is listener and self._reply_sockets is None and admits_all(self) and _WAY.are_plain_in(self):
            self._handle_plainly(listener, until)
        else:
            super()._handle_waiting_requests(until)

    def _handle_plainly(self, listener: Any, until: float) -> None:
        """Handle what waits in one piece: the calls of its steps would take longer than many a handler."""
        flags, counts = self._receive_flags, self._event_counts
        self._nothing_waiting = False
        for _ in range(self._BATCH):
            size = self.max_packet_size
            try:
                data, client_address = listener.recvfrom(size + 1, flags)
            except Exception as error:
                self._accept_failed(error)
                if self._nothing_waiting:
                    break
                continue
            self._aborted = 0
            counts.accepted += 1
            request = (data, listener)
            if len(data) > size:
                request = self._truncated(request, client_address)
            try:
                self.RequestHandlerClass(request, client_address, self)
            except Exception:
                self._request_failed(request, client_address)
            if self._pause_kind:
                self._pause_kind = ""
                self._backoff.succeeded()
            # Whatever else the handler may have changed, the next turn sees.
            if self._suspended or self._is_ending() or self.socket is not listener or time.monotonic() >= until:
                break

    # -- The requests being handled ------------------------------------------------------------------------------

    @contextmanager
    def _watching(self, selector: Any, forever: bool = True) -> Iterator[ListenerWatch]:
        self._one_by_one = type(self).process_request is UDPServer.process_request
        with super()._watching(selector, forever) as watch:
            yield watch

    def _request_admitted(self, request: Any, client_address: Any) -> None:
        self._requests_in_progress.add(request, client_address, host_of(client_address))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a datagram. Mix-ins do so side by side with others."""
        self.finish_request(request, client_address)
        self._end_request(request, client_address)

    def _prologue(self, request: Any, client_address: Any) -> bool:
        """Let the handler begin: nothing comes before a datagram."""
        connection = self._requests_in_progress.get(request)
        if connection is not None:
            connection.task = self._current_task()
        return True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Call the handler class."""
        self.RequestHandlerClass(request, client_address, self)

    def _tells_the_end(self, request: Any) -> bool:
        return False  # a datagram is no connection

    def shutdown_request(self, request: Any) -> None:
        """End the request; there is nothing to shut down."""
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """End the request; there is nothing to close."""
        if not self._one_by_one:
            BaseServer.close_request(self, request)

    _reply_sockets: ReplySockets | None = None

    @contextmanager
    def _not_waiting(self, wanted: bool) -> Iterator[Any]:
        # Handlers send through this socket and expect it to block: only the receiving is told not to.
        flag = getattr(socket, "MSG_DONTWAIT", 0)
        if not wanted or not flag:
            yield None
            return
        self._receive_flags = flag
        try:
            yield self.socket
        finally:
            self._receive_flags = 0


UDPServer._accepting = Steps(UDPServer, "get_request", "_handle_request_noblock")

# A datagram's way from the listener to the handler and back.
_WAY = Steps(
    UDPServer,
    *("get_request", "verify_request", "process_request", "finish_request", "shutdown_request", "close_request"),
    *("_handle_request_noblock", "_request_admitted"),
)


class UnixDatagramServer(UDPServer):
    """Serves datagrams to a Unix socket, which is found and replaced as by `UnixStreamServer`."""

    address_family: int = AF_UNIX if AF_UNIX is not None else socket.AF_INET
