"""Servers on the interface of asyncio: protocols or streams, on its own event loop or on uvloop's."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from bench.contenders import BACKLOG, announce


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Lines(Echo):
    rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.line_received(line + b"\n")

    def line_received(self, line: bytes) -> None:
        self.transport.write(line)


class Line(Lines):
    def line_received(self, line: bytes) -> None:
        self.transport.write(line)
        self.transport.close()


class Datagram(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.transport.sendto(data, address)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


PROTOCOLS: dict[str, type[asyncio.Protocol]] = {"echo": Echo, "lines": Lines, "line": Line}
STREAMS: dict[str, Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]] = {
    "echo": echo,
    "lines": lines,
    "line": line,
}


async def serve(interface: str, handler: str) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    if handler == "datagram":
        transport, _ = await loop.create_datagram_endpoint(Datagram, ("127.0.0.1", 0))
        announce(transport.get_extra_info("sockname")[1])
        await loop.create_future()
    if interface == "streams":
        server = await asyncio.start_server(STREAMS[handler], "127.0.0.1", 0, backlog=BACKLOG)
    else:
        server = await loop.create_server(PROTOCOLS[handler], "127.0.0.1", 0, backlog=BACKLOG)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("handler", choices=[*PROTOCOLS, "datagram"])
    parser.add_argument("--interface", choices=["protocols", "streams"], default="protocols")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    arguments = parser.parse_args()
    serving = serve(arguments.interface, arguments.handler)
    if arguments.loop == "uvloop":
        import uvloop

        uvloop.run(serving)
    else:
        asyncio.run(serving)


if __name__ == "__main__":
    main()
