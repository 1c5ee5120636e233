"""Handlers that many tests serve with."""

from __future__ import annotations

import threading
from typing import Any

from doorkeep import DatagramRequestHandler, StreamRequestHandler

TIMEOUT = 30.0


class Upper(StreamRequestHandler):
    """Answers each line with the line in upper case."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class UpperDatagram(DatagramRequestHandler):
    """Answers a datagram with its text in upper case."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class Held(StreamRequestHandler):
    r"""Says "in\n" and stays until its client has gone, or sends the end; then says "out\n"."""

    def handle(self) -> None:
        self.wfile.write(b"in\n")
        self.rfile.read()
        self.wfile.write(b"out\n")


class Gate:
    """Stands where a handler class does: each request stays until `open`, whatever its client does."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._entered = threading.Semaphore(0)

    def __call__(self, request: Any, client_address: Any, server: Any) -> None:
        self._entered.release()
        if not self._opened.wait(TIMEOUT):
            raise TimeoutError("nobody has opened the gate")

    def open(self) -> None:
        """Let all requests end, those to come too."""
        self._opened.set()

    def wait_entered(self, count: int = 1) -> None:
        """Wait until as many more requests have come."""
        for _ in range(count):
            if not self._entered.acquire(timeout=TIMEOUT):
                raise TimeoutError("too few requests have come")
