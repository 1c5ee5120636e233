"""A chat with rooms, for `nc 127.0.0.1 9999`.

What a member says goes to everyone in its room. `/join ROOM` goes to another one, `/quit` ends. Who does not read
what the others say is dropped, and delays nobody.
"""

from __future__ import annotations

import argparse
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

from doorkeep import StreamRequestHandler, ThreadingTCPServer


@dataclass
class Member:
    name: str
    connection: socket.socket
    room: str = "lobby"


class Chat:
    """Who is in which room; for any thread."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._lock = threading.Lock()

    def enter(self, member: Member) -> bool:
        """Let a member in; return False if its name is taken."""
        with self._lock:
            if member.name in self._members:
                return False
            self._members[member.name] = member
            self._tell(member.room, f"* {member.name} joined {member.room}")
            return True

    def move(self, member: Member, room: str) -> None:
        """Let a member go to another room."""
        with self._lock:
            self._tell(member.room, f"* {member.name} left {member.room}")
            member.room = room
            self._tell(member.room, f"* {member.name} joined {member.room}")

    def leave(self, member: Member) -> None:
        """Let a member go."""
        with self._lock:
            del self._members[member.name]
            self._tell(member.room, f"* {member.name} left {member.room}")

    def say(self, member: Member, text: str) -> None:
        """Send what a member says to all in its room."""
        with self._lock:
            self._tell(member.room, f"{member.name}: {text}")

    def _tell(self, room: str, text: str) -> None:
        line = f"{text}\n".encode()
        for member in self._members.values():
            if member.room != room:
                continue
            try:
                sent = member.connection.send(line, socket.MSG_DONTWAIT)
            except OSError:  # its buffer is full, or it is gone
                sent = 0
            if sent < len(line):
                # Its handler reads the end of the conversation, and says good-bye for it.
                with suppress(OSError):
                    member.connection.shutdown(socket.SHUT_RDWR)


class ChatHandler(StreamRequestHandler):
    def handle(self) -> None:
        # The kernel keeps what a member has not read yet: about so many bytes, beyond them it is dropped.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        chat: Chat = self.server.chat
        self.wfile.write(b"Your name?\n")
        name = self.read_line()
        if not name:
            return
        member = Member(name[:32], self.connection)
        if not chat.enter(member):
            self.wfile.write(b"* that name is taken\n")
            return
        try:
            self.converse(chat, member)
        finally:
            chat.leave(member)

    def converse(self, chat: Chat, member: Member) -> None:
        """Do what the member's lines say, until it has no more."""
        while (line := self.read_line()) is not None:
            command, _, argument = line.partition(" ")
            if command == "/quit":
                return
            if command == "/join" and argument:
                chat.move(member, argument)
            elif line:
                chat.say(member, line)

    def read_line(self) -> str | None:
        """Return the client's next line, or None at the end. A very long line comes in pieces."""
        line = self.rfile.readline(1000)
        if not line:
            return None
        # Control characters could play tricks on the others' terminals.
        return "".join(filter(str.isprintable, line.decode(errors="replace"))).strip()


class ChatServer(ThreadingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 0.0  # members would stay for hours: cut them off
    max_connections = 500

    def __init__(self, port: int) -> None:
        self.chat = Chat()
        super().__init__(("127.0.0.1", port), ChatHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a chat with rooms.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ChatServer(port) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
