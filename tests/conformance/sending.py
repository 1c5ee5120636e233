"""Handlers that send much, in each way that there is."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import Any

from doorkeep import StreamRequestHandler
from tests.conformance.handlers import TaskHandler, twin_of

SHORT = 0.05
KIB = 1024
# More than there is room for between a handler and its client, whose buffers are to be of this size.
HUGE = bytes(range(256)) * 16 * KIB
BUFFER = 64 * KIB


def small_buffers(handler: Any) -> None:
    """Have the kernel keep little of what a handler sends."""
    connection = handler.writer.get_extra_info("socket") if isinstance(handler, TaskHandler) else handler.request
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)


class Sends(StreamRequestHandler):
    """Sends what is huge, in the way of `send`."""

    def setup(self) -> None:
        super().setup()
        small_buffers(self)

    def handle(self) -> None:
        self.send(HUGE)

    def send(self, data: bytes) -> None:
        self.wfile.write(data)


@twin_of(Sends)
class SendsTask(TaskHandler):
    async def handle(self) -> None:
        small_buffers(self)
        await self.say(HUGE)


class SendsAsAsked(Sends):
    """Sends as many bytes as its client asks for."""

    def handle(self) -> None:
        self.send(HUGE[: int(self.rfile.readline())])


@twin_of(SendsAsAsked)
class SendsAsAskedTask(TaskHandler):
    async def handle(self) -> None:
        small_buffers(self)
        await self.say(HUGE[: int(await self.reader.readline())])


class SendsBySendall(Sends):
    def send(self, data: bytes) -> None:
        self.request.sendall(data)


class SendsBySend(Sends):
    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.request.send(rest) :]


class SendsByMessages(Sends):
    def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.request.sendmsg([rest[:1000], rest[1000:BUFFER]]) :]


class SendsByBufferedFile(Sends):
    wbufsize = 4096

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), 1000):
            self.wfile.write(data[start : start + 1000])


class SendsFile(Sends):
    def send(self, data: bytes) -> None:
        with io.FileIO(self.server.file) as file:
            assert self.request.sendfile(file) == len(data)


class SendsPartOfFile(Sends):
    def send(self, data: bytes) -> None:
        with io.FileIO(self.server.file) as file:
            assert self.request.sendfile(file, 1000, 5000) == 5000
            assert file.tell() == 6000


class SendsForAMoment(Sends):
    """Reports what comes of sending to one who does not read."""

    def send(self, data: bytes) -> None:
        self.request.settimeout(SHORT)
        try:
            self.request.sendall(data)
        except TimeoutError:
            self.server.report.tell(b"late")


@twin_of(SendsForAMoment)
class SendsForAMomentTask(TaskHandler):
    async def handle(self) -> None:
        small_buffers(self)
        try:
            await asyncio.wait_for(self.say(HUGE), SHORT)
        except TimeoutError:
            self.server.report.tell(b"late")
            self.writer.transport.abort()  # which would send on
