"""The handlers that `doorkeep serve` serves when it is given none: they answer in upper case."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys

from doorkeep.addresses import Address
from doorkeep.handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler

__all__ = [
    "UpperDatagramCoroutine",
    "UpperDatagramHandler",
    "UpperLineCoroutine",
    "UpperLineHandler",
    "client_line",
    "handler_for",
]

# A longer line is answered in pieces, so that no client fills the memory.
_LONGEST_PIECE = 65536


class UpperLineHandler(StreamRequestHandler):
    """Answers each line with the same line in upper case, as soon as it has come."""

    def handle(self) -> None:
        while piece := self.rfile.readline(_LONGEST_PIECE):
            self.wfile.write(piece.upper())


class UpperDatagramHandler(DatagramRequestHandler):
    """Answers each datagram with the same bytes in upper case."""

    def handle(self) -> None:
        self.wfile.write(self.packet.upper())


class UpperLineCoroutine(StreamRequestHandler):
    """Does as `UpperLineHandler`, in a coroutine."""

    async def handle(self) -> None:
        while piece := await self.reader.read(_LONGEST_PIECE):
            self.writer.write(piece.upper())
            await self.writer.drain()


class UpperDatagramCoroutine(DatagramRequestHandler):
    """Does as `UpperDatagramHandler`, in a coroutine."""

    async def handle(self) -> None:
        self.wfile.write(self.packet.upper())


def handler_for(address: Address, coroutine: bool = False) -> type[BaseRequestHandler]:
    """Return the handler for what arrives at an address; one that is a `coroutine` if need be."""
    if coroutine:
        return UpperDatagramCoroutine if address.datagrams else UpperLineCoroutine
    return UpperDatagramHandler if address.datagrams else UpperLineHandler


def client_line(address: Address) -> str:
    """Return a shell command that says hello at an address and prints the answer.

    It needs a Python and nothing else. It does not speak TLS.
    """
    statements = [
        "import socket",
        f"client = socket.socket(socket.{_family_of(address)}, socket.{_type_of(address)})",
        f"client.connect({_reachable(address)})",
        r'client.send(b"hello\n")',
        'print(client.recv(100).decode(), end="")',
    ]
    if address.scheme == "unixgram":
        # A Unix datagram socket is answered only if it has a name; the empty one asks the kernel for any (unix(7)).
        statements.insert(2, 'client.bind("")')
    return f"{_python()} -c {shlex.quote('; '.join(statements))}"


def _python() -> str:
    return "python3" if shutil.which("python3") else shlex.quote(sys.executable)


def _family_of(address: Address) -> str:
    if not isinstance(address.server_address, tuple):
        return "AF_UNIX"
    return "AF_INET6" if ":" in address.server_address[0] else "AF_INET"


def _type_of(address: Address) -> str:
    return "SOCK_DGRAM" if address.datagrams else "SOCK_STREAM"


def _reachable(address: Address) -> str:
    """Return, as Python, where a client on this machine finds a server; one on every address, on the loopback."""
    # JSON's strings are Python's too, and their double quotes need no care in the shell.
    if not isinstance(address.server_address, tuple):
        path = os.fsdecode(address.server_address)
        return json.dumps(path if path.startswith("\0") else os.path.abspath(path))
    host, port = address.server_address[:2]
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
    return f"({json.dumps(loopback.get(host, host))}, {port})"
