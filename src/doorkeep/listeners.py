"""The servers of connections: TCP, and their Unix counterpart."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from doorkeep.addresses import AF_UNIX, family_of, remove_stale_socket
from doorkeep.connection.accepting import accepted_sockets_inherit_blocking
from doorkeep.connection.peers import idle_seconds_of
from doorkeep.connection.prologue import TLSSettings, is_tls
from doorkeep.connection.steps import Steps
from doorkeep.server import BaseServer
from doorkeep.settings import COUNT, FLAG, MODE, Setting

__all__ = ["TCPServer", "UnixStreamServer"]


class TCPServer(BaseServer, TLSSettings):
    """Serves TCP connections.

    `server_address` is `(host, port)`; port 0 takes a free one, and the attribute then tells which. The address
    family follows the address: a literal IPv6 address is served by IPv6, "::" by IPv4 as well, a path by a Unix
    socket. With `bind_and_activate=False`, call `server_bind` and `server_activate` yourself. Raises `OSError` if
    the address cannot be had, `SettingError` for settings that cannot be; nothing stays open then.
    """

    address_family: int = socket.AF_INET
    socket_type: int = socket.SOCK_STREAM

    request_queue_size: Annotated[
        int,
        Setting(
            COUNT,
            "how many clients wait in the kernel's backlog",
            at_limit="the kernel drops further attempts, and clients try again",
            takes_effect="when the server is made",
            streams_only=True,
        ),
    ] = socket.SOMAXCONN
    allow_reuse_address: Annotated[
        bool,
        Setting(FLAG, "bind although old connections linger (SO_REUSEADDR)", takes_effect="when the server is made"),
    ] = False
    allow_reuse_port: Annotated[
        bool,
        Setting(FLAG, "share the port with other processes (SO_REUSEPORT)", takes_effect="when the server is made"),
    ] = False
    socket_mode: Annotated[
        int | None,
        Setting(MODE, "the file mode of a Unix socket; None: by the umask", takes_effect="when the server is made"),
    ] = None

    def __init__(
        self,
        server_address: Any,
        RequestHandlerClass: Callable[..., Any],
        bind_and_activate: bool = True,
        **settings: Any,
    ) -> None:
        BaseServer.__init__(self, server_address, RequestHandlerClass, **settings)
        self._check_settings(settings)
        family = family_of(server_address, self.address_family)
        if family != self.address_family:
            self.address_family = family
        self.socket = self._make_socket()
        if bind_and_activate:
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

    def _make_socket(self) -> socket.socket:
        return socket.socket(self.address_family, self.socket_type)

    def _check_settings(self, given: dict[str, Any]) -> None:
        self._tls_context()

    def server_bind(self) -> None:
        """Bind the socket to `server_address`, and note the address that it got."""
        if self.allow_reuse_address and hasattr(socket, "SO_REUSEADDR"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        is_unix = self.address_family == AF_UNIX
        # Linux refuses SO_REUSEPORT for Unix sockets since 6.13, and it never meant anything there.
        if self.allow_reuse_port and hasattr(socket, "SO_REUSEPORT") and not is_unix:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if self.address_family == socket.AF_INET6 and self.server_address[0] in ("", "::"):
            with contextlib.suppress(OSError, AttributeError):  # a system that cannot serves IPv6 alone
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if is_unix:
            if isinstance(self.server_address, os.PathLike):
                self.server_address = os.fspath(self.server_address)
            remove_stale_socket(self.server_address, self.socket_type)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        if is_unix and self.socket_mode is not None and self.server_address[:1] not in (b"\0", "\0"):
            os.chmod(self.server_address, self.socket_mode)

    def server_activate(self) -> None:
        """Listen."""
        self.socket.listen(self.request_queue_size)

    def server_close(self) -> None:
        """Close the listener; requests in progress go on."""
        self.socket.close()
        super().server_close()

    def _stop_listening(self) -> None:
        self.socket.close()

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection.

        Under TLS it is returned before the handshake, which `_prologue` does. A listener that the program has
        wrapped itself, by `SSLContext.wrap_socket`, is treated alike.
        """
        listener = self.socket
        if self._batched is not None and self._batched is not listener:
            raise BlockingIOError  # replaced within a batch: the loop has yet to see whether a client is there
        if is_tls(listener):
            request, client_address = socket.socket.accept(listener)
            prepared = self._prepared(request, self._noting(listener.context), listener.suppress_ragged_eofs)
            return prepared, client_address
        context = self._tls_context()  # first, as no client is to be taken in and dropped for a bad certificate
        request, client_address = self._accept(listener) if context is None else listener.accept()
        return self._prepared(request, context), client_address

    def _accept(self, listener: Any) -> tuple[Any, Any]:
        """Accept a connection that is not to be encrypted."""
        accepted: tuple[Any, Any] = listener.accept()
        return accepted

    def _prepared(self, request: Any, context: Any, suppress_ragged_eofs: bool = True) -> Any:
        if self._batched is not None and accepted_sockets_inherit_blocking():
            request.setblocking(True)
        if self.idle_timeout is not None and idle_seconds_of(request) is None:
            # Where the kernel does not tell for how long a connection is idle, each call is bounded instead.
            request.settimeout(self.idle_timeout)
        if context is None:
            return request
        from doorkeep.connection.tls import wrap

        try:
            return wrap(request, context, suppress_ragged_eofs)
        except BaseException:
            request.close()
            raise

    def shutdown_request(self, request: Any) -> None:
        """Tell the client that no more will come, and close the connection."""
        if is_tls(request):
            from doorkeep.connection.tls import say_goodbye

            say_goodbye(request)
        with contextlib.suppress(OSError):  # the client was first
            request.shutdown(socket.SHUT_WR)
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Close the connection."""
        super().close_request(request)
        request.close()

    # -- Several accepts in a turn of the loop -------------------------------------------------------------------

    _accepting: ClassVar[Steps]

    def _takes_batches(self) -> bool:
        return self._accepting.are_plain_in(self) and self.socket.gettimeout() is None

    @contextmanager
    def _not_waiting(self, wanted: bool) -> Iterator[Any]:
        # The descriptor alone is made non-blocking: the socket object's timeout, which accepted connections and
        # programs look at, stays None.
        listener = self.socket
        if not wanted or not hasattr(os, "set_blocking") or listener.fileno() == -1:
            yield None
            return
        os.set_blocking(listener.fileno(), False)
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):  # closed meanwhile
                os.set_blocking(listener.fileno(), True)


TCPServer._accepting = Steps(TCPServer, "get_request", "_handle_request_noblock")


class UnixStreamServer(TCPServer):
    """Serves connections to a Unix socket.

    `server_address` is a path, or a name that begins with a zero byte (Linux). A socket file that nobody listens
    to is replaced, one that is alive is refused as in use; the file stays when the server closes.
    """

    address_family: int = AF_UNIX if AF_UNIX is not None else socket.AF_INET
