"""The handlers of datagrams, and beside each its twin for tasks."""

from __future__ import annotations

from doorkeep import BaseRequestHandler, DatagramRequestHandler
from tests.conformance.handlers import twin_of


class UpperDatagram(DatagramRequestHandler):
    """Answers a datagram in upper case."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


@twin_of(UpperDatagram)
class UpperDatagramTask(DatagramRequestHandler):
    async def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class LengthOfDatagram(DatagramRequestHandler):
    """Answers how many bytes it sees, and whether there were more."""

    def handle(self) -> None:
        self.wfile.write(b"%d %d" % (len(self.packet), self.truncated))


@twin_of(LengthOfDatagram)
class LengthOfDatagramTask(DatagramRequestHandler):
    async def handle(self) -> None:
        self.wfile.write(b"%d %d" % (len(self.packet), self.truncated))


class AddressOfDatagram(DatagramRequestHandler):
    """Tells the client its address."""

    def handle(self) -> None:
        self.wfile.write(repr(self.client_address).encode())


@twin_of(AddressOfDatagram)
class AddressOfDatagramTask(DatagramRequestHandler):
    async def handle(self) -> None:
        self.wfile.write(repr(self.client_address).encode())


class Repeats(BaseRequestHandler):
    """Sends a datagram back three times, by itself."""

    def handle(self) -> None:
        data, sock = self.request
        for _ in range(3):
            sock.sendto(data, self.client_address)


class FussyDatagram(DatagramRequestHandler):
    """Echoes, but for what makes it fail and what it has no answer to."""

    def handle(self) -> None:
        if self.packet == b"fail":
            raise LookupError("as asked")
        if self.packet != b"nothing":
            self.wfile.write(self.packet)


@twin_of(FussyDatagram)
class FussyDatagramTask(DatagramRequestHandler):
    async def handle(self) -> None:
        if self.packet == b"fail":
            raise LookupError("as asked")
        if self.packet != b"nothing":
            self.wfile.write(self.packet)
