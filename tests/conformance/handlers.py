"""The handlers that are served, and beside each its twin for tasks, where it does not need a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from doorkeep import BaseRequestHandler, StreamRequestHandler
from tests.conformance.targets import Target

CHUNK = 65536

HandlerClass = TypeVar("HandlerClass", bound=type)

_twins: dict[type, type] = {}


def twin_of(handler: type) -> Callable[[HandlerClass], HandlerClass]:
    """Mark a handler as the one that does the same in a task."""

    def mark(twin: HandlerClass) -> HandlerClass:
        _twins[handler] = twin
        return twin

    return mark


def handler_for(target: Target, handler: type) -> type:
    """Return the handler class to serve on a target: the one given, or its twin if it has one."""
    return _twins.get(handler, handler) if target.runs_tasks else handler


class TaskHandler(StreamRequestHandler):
    """What the twins share."""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


# -- Conversations --------------------------------------------------------------------------------------------------


class Echo(BaseRequestHandler):
    """Sends back what comes, until the end."""

    def handle(self) -> None:
        while some := self.request.recv(CHUNK):
            self.request.sendall(some)


@twin_of(Echo)
class EchoTask(TaskHandler):
    async def handle(self) -> None:
        while some := await self.reader.read(CHUNK):
            await self.say(some)


class Upper(StreamRequestHandler):
    """Answers each line in upper case."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


@twin_of(Upper)
class UpperTask(TaskHandler):
    async def handle(self) -> None:
        async for line in self.reader:
            await self.say(line.upper())


class Held(StreamRequestHandler):
    r"""Says "in\n", stays until its client ends, and says "out\n"."""

    def handle(self) -> None:
        self.wfile.write(b"in\n")
        self.rfile.read()
        self.wfile.write(b"out\n")


@twin_of(Held)
class HeldTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(b"in\n")
        await self.reader.read()
        await self.say(b"out\n")


class HeldByLine(StreamRequestHandler):
    r"""Says "in\n", stays until a line comes or its client ends, and says "out\n"."""

    def handle(self) -> None:
        self.wfile.write(b"in\n")
        self.rfile.readline()
        self.wfile.write(b"out\n")


@twin_of(HeldByLine)
class HeldByLineTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(b"in\n")
        await self.reader.readline()
        await self.say(b"out\n")


class Address(StreamRequestHandler):
    """Tells the client its address."""

    def handle(self) -> None:
        self.wfile.write(repr(self.client_address).encode())


@twin_of(Address)
class AddressTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(repr(self.client_address).encode())


class Socket(BaseRequestHandler):
    """Tells what kind of socket it has."""

    def handle(self) -> None:
        kind = (isinstance(self.request, socket.socket), self.request.gettimeout(), self.request.getblocking())
        names = (self.request.getsockname(), self.request.getpeername())
        self.request.sendall(repr((*kind, *names)).encode())


# -- Ends -----------------------------------------------------------------------------------------------------------


class Count(StreamRequestHandler):
    """Reads to the end, and only then answers how many bytes have come."""

    def handle(self) -> None:
        self.wfile.write(b"%d" % len(self.rfile.read()))


@twin_of(Count)
class CountTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(b"%d" % len(await self.reader.read()))


class EndsFirst(StreamRequestHandler):
    """Says goodbye and ends its direction, then reports what else comes."""

    def handle(self) -> None:
        self.wfile.write(b"goodbye\n")
        self.request.shutdown(socket.SHUT_WR)
        self.server.report.tell(self.rfile.read())


@twin_of(EndsFirst)
class EndsFirstTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(b"goodbye\n")
        self.writer.write_eof()
        self.server.report.tell(await self.reader.read())


class Closes(BaseRequestHandler):
    """Closes its connection itself."""

    def handle(self) -> None:
        self.request.sendall(b"closing\n")
        self.request.close()


@twin_of(Closes)
class ClosesTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(b"closing\n")
        self.writer.close()


class ShutsDown(BaseRequestHandler):
    """Ends both directions of its connection itself."""

    def handle(self) -> None:
        self.request.sendall(b"closing\n")
        self.request.shutdown(socket.SHUT_RDWR)


class Detaches(BaseRequestHandler):
    """Goes on with the descriptor of its connection alone."""

    def handle(self) -> None:
        with socket.socket(fileno=self.request.detach()) as own:
            own.sendall(b"detached\n")
            own.sendall(own.recv(6).upper())


# -- The server -----------------------------------------------------------------------------------------------------


class EndsServing(StreamRequestHandler):
    """Calls `shutdown`, and goes on."""

    def handle(self) -> None:
        self.server.shutdown()
        self.wfile.write(self.rfile.readline().upper())


@twin_of(EndsServing)
class EndsServingTask(TaskHandler):
    async def handle(self) -> None:
        await asyncio.to_thread(self.server.shutdown)
        await self.say((await self.reader.readline()).upper())


class Agreed(StreamRequestHandler):
    """Tells what TLS has agreed on."""

    def handle(self) -> None:
        self.wfile.write(agreed(self))


@twin_of(Agreed)
class AgreedTask(TaskHandler):
    async def handle(self) -> None:
        await self.say(agreed(self))


def agreed(handler: StreamRequestHandler) -> bytes:
    tls = handler.tls
    names = tls and tls.peer_certificate and tls.peer_certificate["subjectAltName"]
    return repr(tls and (tls.version, tls.server_name, names)).encode()


class StartsTLS(StreamRequestHandler):
    """Answers lines in upper case; from the first one on encrypted."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line.upper())
            if self.tls is None:
                self.start_tls(self.server.context)


@twin_of(StartsTLS)
class StartsTLSTask(TaskHandler):
    async def handle(self) -> None:
        while line := await self.reader.readline():
            await self.say(line.upper())
            if self.tls is None:
                await self.start_tls(self.server.context)
