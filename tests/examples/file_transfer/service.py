"""A running file-transfer server, and clients that say to it what they like."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.examples.programs import Program, connect

LENGTH = struct.Struct(">I")


def frame(data: bytes) -> bytes:
    """Return a header with its length before it, whatever it holds."""
    return LENGTH.pack(len(data)) + data


def header(**values: Any) -> bytes:
    """Return a header as it goes over the wire."""
    return frame(json.dumps(values).encode())


def put(name: str, content: bytes) -> bytes:
    """Return what the tutorials' client sends to put a file."""
    return header(cmd="put", filename=name, filesize=len(content)) + content


class Peer:
    """A connection to the server."""

    def __init__(self, port: int) -> None:
        self.socket = connect(port)
        self.stream = self.socket.makefile("rb")
        self.port: int = self.socket.getsockname()[1]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> dict[str, Any]:
        """Return the header of the next answer."""
        (length,) = LENGTH.unpack(self.stream.read(4))
        answer = json.loads(self.stream.read(length))
        assert isinstance(answer, dict)
        return answer

    def ask(self, **values: Any) -> tuple[dict[str, Any], bytes]:
        """Send a header; return that of the answer, and its body."""
        self.send(header(**values))
        answer = self.answer()
        return answer, self.stream.read(answer["filesize"])

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stream.close()
        self.socket.close()


class Service:
    """A running server and its folder."""

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.port = program.port()

    def peer(self) -> Peer:
        """Return a new connection."""
        return Peer(self.port)

    def refuses(self, *pieces: bytes) -> int:
        """Send the pieces; return the status of the refusal, which the server must close after."""
        with self.peer() as peer:
            for piece in pieces:
                peer.send(piece)
            answer = peer.answer()
            assert answer.keys() == {"status", "message"}
            assert peer.stream.read() == b""
        assert isinstance(answer["status"], int)
        return answer["status"]

    def stores(self, *pieces: bytes) -> None:
        """Send the pieces as a client does that waits for no answer, and none comes."""
        with self.peer() as peer:
            for piece in pieces:
                peer.send(piece)
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.stream.read() == b""

    def log_of(self, peer: Peer) -> str:
        """Return what the server logs next about a client."""
        return self.program.wait_for(f"127.0.0.1:{peer.port} (.*)")[1]

    def content(self, name: str) -> bytes:
        """Return what a file holds."""
        return (self.folder / name).read_bytes()
