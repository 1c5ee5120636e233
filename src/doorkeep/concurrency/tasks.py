"""Requests in tasks of asyncio: handlers written as coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any

from doorkeep.addresses import AF_UNIX
from doorkeep.concurrency.loops import LoopThread
from doorkeep.concurrency.streams import EncryptedSocket, Streams
from doorkeep.concurrency.threads import AFTER_DRAIN
from doorkeep.connection.accepting import AcceptErrorKind
from doorkeep.connection.deadlines import cut, tell_passed
from doorkeep.connection.peers import idle_seconds_of
from doorkeep.connection.prologue import is_tls, tell_handshake_failed
from doorkeep.datagram_listeners import UDPServer, UnixDatagramServer
from doorkeep.errors import DoorkeepError
from doorkeep.listeners import TCPServer, UnixStreamServer
from doorkeep.settings import FLAG, Setting

if TYPE_CHECKING:
    from doorkeep.connection.tls import TLSInfo
    from doorkeep.listeners import TCPServer as _Server
else:
    _Server = object  # mix-ins have no base, as in the standard library

__all__ = ["AsyncMixIn"]

# Seconds between attempts to send a datagram for which its receiver has no room: the first pause, and the longest.
_PAUSES = 0.001, 0.1

# One for all servers: it is held for moments only.
_starting = threading.Lock()


class _Task:
    """What handles a request: `handler` is what the handler class has made of it, `unsent` the reply left to send.

    The server knows it by its `identity`, which keeps nothing alive.
    """

    def __init__(self, server: AsyncMixIn) -> None:
        self.identity = object()
        self.server = server
        self.streams: Streams | None = None
        self.handler: Any = None
        self.unsent: tuple[Any, bytes, Any] | None = None


# Tasks and threads that a handler starts have it too, where they take its context along, as `asyncio.to_thread` does.
_current: ContextVar[_Task | None] = ContextVar("doorkeep_task", default=None)


class AsyncMixIn(_Server):
    """Handles each request in a task of an event loop, which has a thread to itself.

    `handle` must be a coroutine function, in a subclass of doorkeep's handlers; `setup` and `finish` may be. Where it
    awaits, the other requests go on; whatever blocks or computes holds up all of them. Connections have
    `self.reader` and `self.writer`. The loop is uvloop's where that is installed. Each connection takes two
    descriptors. `KeyboardInterrupt` and `SystemExit` end the request that raises them, and nothing else.
    """

    block_on_close: Annotated[bool, Setting(FLAG, "whether server_close waits for the requests in progress")] = True

    _loop_thread: LoopThread | None = None

    # -- For any thread ------------------------------------------------------------------------------------------

    def drain(self, timeout: float | None = None) -> int:
        """Stop accepting, let requests finish for `timeout` seconds, then cut what is left.

        In a handler, `await asyncio.to_thread(self.server.drain, timeout)`: its own request is neither waited for nor
        cut, and the others need the loop to finish. Raises `RuntimeError` where that would be held up.
        """
        if self._is_in_loop():
            raise RuntimeError("drain waits for requests of this very loop: await asyncio.to_thread(server.drain)")
        return super().drain(timeout)

    def server_close(self) -> None:
        """Close the server, and wait for requests in progress if `block_on_close`.

        Does not wait for the request that calls it, and for no others where that would hold up the loop. After
        `drain`, requests have a moment before they are cancelled.
        """
        super().server_close()
        with _starting:
            loop, self._loop_thread = self._loop_thread, None
        if loop is None:
            return
        loop.close()
        if not self.block_on_close or self._is_in_loop():
            return
        limit = AFTER_DRAIN if self._drained else None
        if _current.get() is not None:
            self._wait_until_idle(limit)
        elif not loop.join(limit):
            loop.cancel()
            loop.join(AFTER_DRAIN)

    def _current_task(self) -> Any:
        task = _current.get()
        return super()._current_task() if task is None else task.identity

    def _beside(self) -> Callable[[Callable[[], object]], object]:
        if not self._is_in_loop():
            return super()._beside()
        return asyncio.get_running_loop().call_soon_threadsafe

    def _is_in_loop(self) -> bool:
        """Whether the caller is a coroutine of a handler of this server."""
        task = _current.get()
        if task is None or task.server is not self:
            return False
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            return True
        return False

    # -- In the accepting thread ---------------------------------------------------------------------------------

    def _check_settings(self, given: dict[str, Any]) -> None:
        super()._check_settings(given)
        _refuse_plain(self.RequestHandlerClass)

    def _prepared(self, request: Any, context: Any, suppress_ragged_eofs: bool = True) -> Any:
        return request if context is None else EncryptedSocket.of(request, context)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have a task handle the request."""
        with _starting:
            if self._loop_thread is None:
                try:
                    self._loop_thread = LoopThread()
                except (OSError, RuntimeError) as error:  # no descriptor or thread left
                    self._pause_accepting(AcceptErrorKind.RESOURCES, error)
                    raise
            self._loop_thread.start(self.process_request_task, request, client_address)

    # -- In the thread of the loop -------------------------------------------------------------------------------

    async def process_request_task(self, request: Any, client_address: Any) -> None:
        """Handle a request and close it, in its task."""
        task = _Task(self)
        _current.set(task)
        try:
            if is_tls(request):
                raise TypeError(
                    "get_request has wrapped the connection itself: let ssl_context or tls_certificate do it"
                )
            if isinstance(request, socket.socket):
                task.streams = Streams(request, _limit_of(self.RequestHandlerClass))
            with self._watching_idle(task.streams, request):
                await self._handle(task, request, client_address)
        except Exception:
            self._request_failed(request, client_address)
        finally:
            self._end_request(request, client_address)

    async def _handle(self, task: _Task, request: Any, client_address: Any) -> None:
        try:
            if await self._begin(task.streams, request, client_address):
                self.finish_request(request, client_address)
                await self._run_handler(task)
        except Exception:
            self._request_failed(request, client_address)
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if mine is None or mine.cancelling():
                raise
            self._request_failed(request, client_address)  # what it awaited was cancelled, and not the request
        finally:
            if task.streams is not None:
                await task.streams.close()

    async def _begin(self, streams: Streams | None, request: Any, client_address: Any) -> bool:
        """Lead a request to its handler's door; return whether it may go in."""
        if streams is not None:
            context = request.context if isinstance(request, EncryptedSocket) else None
            try:
                await streams.open(context)
            except (OSError, ValueError) as error:
                if context is None:
                    raise
                tell_handshake_failed(self, client_address, error)
                return False
        return self._prologue(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Call the handler class, which hands the handler over to its task."""
        _refuse_plain(self.RequestHandlerClass)
        super().finish_request(request, client_address)

    def _take_handler(self, handler: Any) -> None:
        """Have the current task run a handler; called by its constructor."""
        task = _current.get()
        if task is None:
            raise TypeError(f"{type(handler).__qualname__} is called outside of a request's task")
        task.handler = handler

    async def _run_handler(self, task: _Task) -> None:
        handler = task.handler
        if handler is None:
            raise TypeError(f"{self.RequestHandlerClass!r} has made no handler whose handle is a coroutine function")
        if task.streams is not None:
            handler.reader, handler.writer = task.streams.reader, task.streams.writer
        await _result_of(handler.setup())
        try:
            await handler.handle()
        finally:
            await _result_of(handler.finish())
        if task.unsent is not None:
            await _send_in_time(*task.unsent)

    async def _start_tls(self, handler: Any, context: Any) -> None:
        """Do what `StreamRequestHandler.start_tls` says."""
        task = _current.get()
        assert task is not None
        assert task.streams is not None
        await task.streams.start_tls(context)
        handler.reader, handler.writer = task.streams.reader, task.streams.writer

    def _tls_info_of(self, handler: Any) -> TLSInfo | None:
        """Do what `StreamRequestHandler.tls` says."""
        tls = handler.writer.get_extra_info("ssl_object")
        if tls is None:
            return None
        from doorkeep.concurrency.encryption import tls_info_of

        return tls_info_of(tls)

    def _send_reply(self, sender: Any, reply: bytes, client_address: Any) -> None:
        """Send a datagram now, or before the request ends."""
        if not _sent(sender, reply, client_address):
            task = _current.get()
            assert task is not None
            task.unsent = sender, reply, client_address

    # -- Where the kernel does not tell for how long a connection is idle -----------------------------------------

    @contextlib.contextmanager
    def _watching_idle(self, streams: Streams | None, request: Any) -> Iterator[None]:
        if streams is None or self.idle_timeout is None or idle_seconds_of(request) is not None:
            yield
            return
        watcher = asyncio.ensure_future(self._watch_idle(streams, request))
        try:
            yield
        finally:
            watcher.cancel()

    async def _watch_idle(self, streams: Streams, request: Any) -> None:
        while (limit := self.idle_timeout) is not None:
            remaining = limit - streams.idle_seconds()
            if remaining <= 0:
                connection = self._requests_in_progress.get(request)
                if connection is not None:
                    tell_passed(self, connection, "idle_timeout")
                cut(request)
                return
            await asyncio.sleep(remaining)


async def _result_of(value: Any) -> None:
    if inspect.isawaitable(value):
        await value


def _sent(sender: Any, data: bytes, address: Any) -> bool:
    """Send a datagram if that needs no waiting; return whether it did."""
    try:
        sender.sendto(data, getattr(socket, "MSG_DONTWAIT", 0), address)
    except BlockingIOError:
        return False
    return True


async def _send_in_time(sender: Any, data: bytes, address: Any) -> None:
    # Of a Unix socket the kernel does not tell when the receiver has room again.
    pause, longest = _PAUSES
    while not _sent(sender, data, address):
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


def _class_behind(handler_class: Any) -> Any:
    while isinstance(handler_class, functools.partial):
        handler_class = handler_class.func
    return handler_class


def _refuse_plain(handler_class: Any) -> None:
    """Raise `DoorkeepError` for a class of handlers that would hold up the loop."""
    found = _class_behind(handler_class)
    if isinstance(found, type) and not getattr(found, "_is_async", False):
        raise DoorkeepError(
            f"{found.__qualname__} would hold up all other requests: AsyncMixIn needs a subclass of doorkeep's "
            "handlers with `async def handle`"
        )


def _limit_of(handler_class: Any) -> int | None:
    size = getattr(_class_behind(handler_class), "rbufsize", -1)
    return size if size > 0 else None


class AsyncTCPServer(AsyncMixIn, TCPServer):
    """Serves TCP connections, each in a task of asyncio."""


class AsyncUDPServer(AsyncMixIn, UDPServer):
    """Serves UDP datagrams, each in a task of asyncio."""


if AF_UNIX is not None:

    class AsyncUnixStreamServer(AsyncMixIn, UnixStreamServer):
        """Serves connections to a Unix socket, each in a task of asyncio."""

    class AsyncUnixDatagramServer(AsyncMixIn, UnixDatagramServer):
        """Serves datagrams to a Unix socket, each in a task of asyncio."""
