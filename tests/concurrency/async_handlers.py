"""Handlers written as coroutines, that many tests serve with."""

from __future__ import annotations

import asyncio
import threading

from doorkeep import DatagramRequestHandler, StreamRequestHandler
from tests.sample_handlers import TIMEOUT


class Upper(StreamRequestHandler):
    """Answers each line with the line in upper case."""

    async def handle(self) -> None:
        async for line in self.reader:
            self.writer.write(line.upper())
            await self.writer.drain()


class UpperDatagram(DatagramRequestHandler):
    """Answers a datagram with its text in upper case, after another turn of the loop."""

    async def handle(self) -> None:
        await asyncio.sleep(0)
        self.wfile.write(self.packet.upper())


class Held(StreamRequestHandler):
    r"""Says "in\n" and stays until its client has gone, or sends the end; then says "out\n"."""

    async def handle(self) -> None:
        self.writer.write(b"in\n")
        await self.reader.read()
        self.writer.write(b"out\n")


class Stubborn(StreamRequestHandler):
    r"""Says "in\n" and stays, whatever its client does, until it is cancelled."""

    async def handle(self) -> None:
        self.writer.write(b"in\n")
        await asyncio.get_running_loop().create_future()


class AsyncGate:
    """Lets coroutines of one loop wait for `open`, and a test wait until they have come."""

    def __init__(self) -> None:
        self._opened: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._entered = threading.Semaphore(0)

    async def wait(self) -> None:
        """Wait until the gate is open."""
        self._loop = asyncio.get_running_loop()
        self._opened = self._opened or asyncio.Event()
        self._entered.release()
        await asyncio.wait_for(self._opened.wait(), TIMEOUT)

    def open(self) -> None:
        """Let those go on that have come."""
        assert self._loop is not None
        assert self._opened is not None
        self._loop.call_soon_threadsafe(self._opened.set)

    def wait_entered(self, count: int = 1) -> None:
        """Wait until as many more have come."""
        for _ in range(count):
            assert self._entered.acquire(timeout=TIMEOUT), "too few have come"
