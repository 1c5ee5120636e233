"""The ways to read a message of a known form: each returns the whole message and nothing of what follows it."""

from __future__ import annotations

import socket
from asyncio import StreamReader
from collections.abc import Awaitable, Callable
from typing import Any

from doorkeep import BaseRequestHandler, StreamRequestHandler

SIZE = 64
MESSAGES = [bytes([letter]) * (SIZE - 1) + b"\n" for letter in b"abc"]

Read = Callable[[Any], bytes]
ReadInTask = Callable[[StreamReader], Awaitable[bytes]]


def echoing(read: Read) -> type[BaseRequestHandler]:
    """Return a handler that echoes three messages, which it reads by `read` from its `rfile` or its `request`."""

    class Reads(StreamRequestHandler):
        rbufsize = 0 if read in BY_SOCKET else -1

        def handle(self) -> None:
            for _ in MESSAGES:
                self.request.sendall(read(self.request if read in BY_SOCKET else self.rfile))

    return Reads


def echoing_in_task(read: ReadInTask) -> type[BaseRequestHandler]:
    """Return a coroutine handler that echoes three messages, which it reads by `read`."""

    class Reads(StreamRequestHandler):
        async def handle(self) -> None:
            for _ in MESSAGES:
                self.writer.write(await read(self.reader))
                await self.writer.drain()

    return Reads


def _until_complete(next_part: Callable[[int], bytes]) -> bytes:
    message = b""
    while len(message) < SIZE:
        part = next_part(SIZE - len(message))
        assert 0 < len(part) <= SIZE - len(message)
        message += part
    return message


# -- By rfile ------------------------------------------------------------------------------------------------------


def read(rfile: Any) -> bytes:
    return bytes(rfile.read(SIZE))


def read1(rfile: Any) -> bytes:
    return _until_complete(rfile.read1)


def readline(rfile: Any) -> bytes:
    return bytes(rfile.readline())


def readline_with_limit(rfile: Any) -> bytes:
    first, rest = rfile.readline(SIZE // 2), rfile.readline(SIZE * 2)
    assert len(first) == SIZE // 2
    return bytes(first + rest)


def readlines_with_hint(rfile: Any) -> bytes:
    return b"".join(rfile.readlines(1))


def iteration(rfile: Any) -> bytes:
    return bytes(next(rfile))


def readinto(rfile: Any) -> bytes:
    buffer = bytearray(SIZE)
    assert rfile.readinto(buffer) == SIZE
    return bytes(buffer)


def readinto1(rfile: Any) -> bytes:
    def part(size: int) -> bytes:
        buffer = bytearray(size)
        return bytes(buffer[: rfile.readinto1(buffer)])

    return _until_complete(part)


def peek(rfile: Any) -> bytes:
    ahead = rfile.peek(1)
    message: bytes = rfile.read(SIZE)
    assert ahead
    assert message.startswith(ahead[:SIZE])
    return message


def mixture(rfile: Any) -> bytes:
    return bytes(rfile.read(1) + rfile.read1(1) + rfile.readline(5) + rfile.readline())


BY_FILE: list[Read] = [
    *(read, read1, readinto, readinto1, peek, iteration, mixture),
    *(readline, readline_with_limit, readlines_with_hint),
]


# -- By the socket -------------------------------------------------------------------------------------------------


def recv(sock: socket.socket) -> bytes:
    return _until_complete(sock.recv)


def recv_one_by_one(sock: socket.socket) -> bytes:
    return b"".join(sock.recv(1) for _ in range(SIZE))


def recv_into(sock: socket.socket) -> bytes:
    buffer = memoryview(bytearray(SIZE))
    rest = buffer
    while rest:
        rest = rest[sock.recv_into(rest, len(rest)) :]
    return bytes(buffer)


def makefile(sock: socket.socket) -> bytes:
    with sock.makefile("rb", 0) as file:
        return _until_complete(file.read)


def recvfrom(sock: socket.socket) -> bytes:
    return _until_complete(lambda size: sock.recvfrom(size)[0])


def recvmsg(sock: socket.socket) -> bytes:
    return _until_complete(lambda size: sock.recvmsg(size, 100)[0])


def recvmsg_into(sock: socket.socket) -> bytes:
    first, second = bytearray(SIZE // 2), bytearray(SIZE // 2)
    filled = sock.recvmsg_into([first, second])[0]
    return _until_complete_after(bytes(first + second)[:filled], sock)


def recv_ahead(sock: socket.socket) -> bytes:
    ahead = sock.recv(1, socket.MSG_PEEK)
    message = _until_complete(sock.recv)
    assert message[:1] == ahead
    return message


def recv_all_at_once(sock: socket.socket) -> bytes:
    return sock.recv(SIZE, socket.MSG_WAITALL)


def _until_complete_after(beginning: bytes, sock: socket.socket) -> bytes:
    while len(beginning) < SIZE:
        beginning += sock.recv(SIZE - len(beginning))
    return beginning


BY_SOCKET_ALONE: list[Read] = [recv, recv_one_by_one, recv_into, makefile]
BY_FLAGS: list[Read] = [recvfrom, recvmsg, recvmsg_into, recv_ahead, recv_all_at_once]
BY_SOCKET = [*BY_SOCKET_ALONE, *BY_FLAGS]


# -- In a task -----------------------------------------------------------------------------------------------------


async def read_exactly(reader: StreamReader) -> bytes:
    return await reader.readexactly(SIZE)


async def read_a_line(reader: StreamReader) -> bytes:
    return await reader.readline()


async def read_until(reader: StreamReader) -> bytes:
    return await reader.readuntil(b"\n")


async def read_parts(reader: StreamReader) -> bytes:
    message = b""
    while len(message) < SIZE:
        message += await reader.read(SIZE - len(message))
    return message


async def iterate(reader: StreamReader) -> bytes:
    return await anext(reader)


IN_TASK: list[ReadInTask] = [read_exactly, read_a_line, read_until, read_parts, iterate]
