"""Handlers that wait for no longer than a moment."""

from __future__ import annotations

import asyncio

from doorkeep import BaseRequestHandler, StreamRequestHandler
from tests.conformance.handlers import CHUNK, TaskHandler, twin_of

SHORT = 0.05
LONG = 60.0


class Waits(BaseRequestHandler):
    """Waits for a moment and says so, then as long as it takes, and echoes."""

    def handle(self) -> None:
        self.request.settimeout(SHORT)
        try:
            self.request.recv(CHUNK)
        except TimeoutError:
            self.request.sendall(b"late\n")
        self.request.settimeout(None)
        self.request.sendall(self.request.recv(CHUNK))


@twin_of(Waits)
class WaitsTask(TaskHandler):
    async def handle(self) -> None:
        try:
            await asyncio.wait_for(self.reader.read(CHUNK), SHORT)
        except TimeoutError:
            await self.say(b"late\n")
        await self.say(await self.reader.read(CHUNK))


class WaitsByFile(StreamRequestHandler):
    """Waits for a line for a moment, twice, and tells what comes of it."""

    def handle(self) -> None:
        self.request.settimeout(SHORT)
        for _ in range(2):
            try:
                self.rfile.readline()
            except OSError as error:
                self.wfile.write(type(error).__name__.encode() + b"\n")


class WaitsNever(BaseRequestHandler):
    """Looks whether something has come, and says so."""

    def handle(self) -> None:
        self.request.setblocking(False)
        try:
            self.request.recv(CHUNK)
        except OSError as error:
            self.request.setblocking(True)
            self.request.sendall(type(error).__name__.encode())


class HasTimeout(StreamRequestHandler):
    """Is to wait no longer than its class says."""

    timeout = SHORT

    def handle(self) -> None:
        self.wfile.write(b"in\n")
        self.rfile.readline()
        self.wfile.write(b"out\n")
