"""The handlers that every contender with the interface of `socketserver` runs, word for word the same."""

import asyncio
import socket
from types import ModuleType
from typing import BinaryIO


class Echo:
    """Whatever comes goes back, until the peer ends."""

    request: socket.socket

    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Lines:
    """Every line goes back, until the peer ends."""

    rfile: BinaryIO
    wfile: BinaryIO

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


class Line:
    """One line goes back, then the connection closes."""

    rfile: BinaryIO
    wfile: BinaryIO

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


class Datagram:
    """The datagram goes back."""

    rfile: BinaryIO
    wfile: BinaryIO

    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


class AsyncEcho:
    """Whatever comes goes back, until the peer ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def handle(self) -> None:
        while data := await self.reader.read(65536):
            self.writer.write(data)
            await self.writer.drain()


class AsyncLines:
    """Every line goes back, until the peer ends."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def handle(self) -> None:
        while line := await self.reader.readline():
            self.writer.write(line)
            await self.writer.drain()


class AsyncLine:
    """One line goes back, then the connection closes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def handle(self) -> None:
        self.writer.write(await self.reader.readline())
        await self.writer.drain()


class AsyncDatagram:
    """The datagram goes back."""

    rfile: BinaryIO
    wfile: BinaryIO

    async def handle(self) -> None:
        self.wfile.write(self.rfile.read())


HANDLERS: dict[str, tuple[type, str]] = {
    "echo": (Echo, "StreamRequestHandler"),
    "lines": (Lines, "StreamRequestHandler"),
    "line": (Line, "StreamRequestHandler"),
    "datagram": (Datagram, "DatagramRequestHandler"),
    "async-echo": (AsyncEcho, "StreamRequestHandler"),
    "async-lines": (AsyncLines, "StreamRequestHandler"),
    "async-line": (AsyncLine, "StreamRequestHandler"),
    "async-datagram": (AsyncDatagram, "DatagramRequestHandler"),
}


def request_handler(module: ModuleType, name: str) -> type:
    """The handler of that name, on its base class in `module`, which is `socketserver` or one like it."""
    handler, base = HANDLERS[name]
    return type(handler.__name__, (handler, getattr(module, base)), {})
