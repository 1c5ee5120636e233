"""A notice board: datagrams pin notes on it, and whoever connects reads each new one. Two servers in one thread.

python examples/green_board.py --output notes.txt
nc 127.0.0.1 9999
echo hello | nc -u -w 1 127.0.0.1 9999
"""

from __future__ import annotations

import argparse
import queue
import signal
from collections.abc import Iterator

from doorkeep import DatagramRequestHandler, GreenTCPServer, GreenUDPServer, StreamRequestHandler
from doorkeep.green import Lock, Queue, offload, serve

# How many notes a reader may be behind before it is let go.
MOST_UNREAD = 100


class Board:
    """Who reads, and the file that keeps all notes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._writing = Lock()
        self._readers: set[Queue[str | None]] = set()

    def pin(self, note: str) -> None:
        """Keep a note, and hand it to all readers."""
        with self._writing:  # one after another, as each waits for the disk
            offload(self._append, note)
        for reader in list(self._readers):
            try:
                reader.put_nowait(note)
            except queue.Full:
                self._readers.discard(reader)
                reader.get()
                reader.put(None)

    def _append(self, note: str) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            print(note, file=file)

    def read(self) -> Iterator[str]:
        """Yield each note that is pinned from now on, until the reader is too far behind."""
        notes: Queue[str | None] = Queue(MOST_UNREAD)
        self._readers.add(notes)
        try:
            while (note := notes.get()) is not None:
                yield note
        finally:
            self._readers.discard(notes)


class PinHandler(DatagramRequestHandler):
    def handle(self) -> None:
        # Control characters could play tricks on the readers' terminals.
        note = "".join(filter(str.isprintable, self.packet.decode(errors="replace")))
        self.server.board.pin(f"{self.client_address[0]}: {note}")


class ReadHandler(StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"Notes from now on:\n")
        for note in self.server.board.read():
            self.wfile.write(f"{note}\n".encode())


class PinServer(GreenUDPServer):
    reply_when_empty = False  # pinning answers nothing
    board: Board


class ReadServer(GreenTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    block_on_close = False  # readers stay for hours: the end ends them
    max_connections = 1000
    board: Board


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a notice board.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes free ones (default: %(default)s)")
    parser.add_argument("--output", default="notes.txt", help="the file to add to (default: %(default)s)")
    arguments = parser.parse_args()
    address = ("127.0.0.1", arguments.port)
    with PinServer(address, PinHandler) as udp, ReadServer(address, ReadHandler) as tcp:
        udp.board = tcp.board = Board(arguments.output)

        def end(*_: object) -> None:
            udp.shutdown()
            tcp.shutdown()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        print(f"Listening on UDP port {udp.server_address[1]}, TCP port {tcp.server_address[1]}", flush=True)
        serve(udp, tcp)


if __name__ == "__main__":
    main()
