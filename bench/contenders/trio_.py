"""trio's streams, and for datagrams its sockets."""

import argparse
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from bench.contenders import BACKLOG, announce


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def lines(stream: trio.SocketStream) -> None:
    rest = b""
    async for data in stream:
        *received, rest = (rest + data).split(b"\n")
        for line in received:
            await stream.send_all(line + b"\n")


async def line(stream: trio.SocketStream) -> None:
    received = b""
    async for data in stream:
        received += data
        if data.endswith(b"\n"):
            break
    await stream.send_all(received)


HANDLERS: dict[str, Callable[[trio.SocketStream], Awaitable[None]]] = {"echo": echo, "lines": lines, "line": line}


async def handle(handler: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream) -> None:
    """Serve a connection. An exception would end all the others too, and that of one that has gone need not."""
    with suppress(trio.BrokenResourceError):
        await handler(stream)


async def serve_datagrams() -> None:
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as datagrams:
        await datagrams.bind(("127.0.0.1", 0))
        announce(datagrams.getsockname()[1])
        while True:
            await datagrams.sendto(*await datagrams.recvfrom(65536))


async def serve_streams(handler: str) -> None:
    async with trio.open_nursery() as nursery:
        served = partial(handle, HANDLERS[handler])
        listeners = await nursery.start(partial(trio.serve_tcp, served, 0, host="127.0.0.1", backlog=BACKLOG))
        announce(listeners[0].socket.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("handler", choices=[*HANDLERS, "datagram"])
    handler = parser.parse_args().handler
    if handler == "datagram":
        trio.run(serve_datagrams)
    else:
        trio.run(serve_streams, handler)


if __name__ == "__main__":
    main()
