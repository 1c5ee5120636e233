"""Keeps a folder of files for clients to put and get; protocol.py says what goes over the wire.

python examples/file_transfer/server.py --folder /srv/files
python examples/file_transfer/client.py
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from folder import Folder
from protocol import PIECE, CutShort, Refusal, checked_name, checked_size, copy_exactly, encode_header, read_header

from doorkeep import StreamRequestHandler, ThreadingTCPServer

# Seconds that a client has to stop sending after a refusal.
LINGER = 5.0


class FileTransferHandler(StreamRequestHandler):
    server: FileTransferServer
    timeout = 60.0  # seconds that a client may let us wait for it

    def handle(self) -> None:
        try:
            while (header := read_header(self.rfile)) is not None:
                # A table, for getattr(self, cmd) would let a client call any method.
                command = COMMANDS.get(str(header.get("cmd")))
                if command is None:
                    raise Refusal(405, f"cmd is none of {', '.join(COMMANDS)}")
                command(self, header)
        except Refusal as refusal:
            self.refuse(refusal)
        except (CutShort, ConnectionError, TimeoutError) as error:
            self.log(f"cut short: {error}")

    def put(self, header: dict[str, Any]) -> None:
        """Store the file that follows the header."""
        name, size = checked_name(header.get("filename")), checked_size(header.get("filesize"))
        largest = self.server.largest
        if largest is not None and size > largest:
            raise Refusal(413, f"a file has at most {largest} bytes here")
        self.server.folder.put(name, size, self.rfile)
        self.log(f"stored {name!a}, {size} bytes")
        if header.get("reply") is True:
            self.wfile.write(encode_header({"status": 201}))

    def get(self, header: dict[str, Any]) -> None:
        """Send a file."""
        name = checked_name(header.get("filename"))
        with self.server.folder.get(name) as (file, size):
            self.wfile.write(encode_header({"status": 200, "filename": name, "filesize": size}))
            copy_exactly(file, self.wfile, size)
        self.log(f"sent {name!a}, {size} bytes")

    def ls(self, header: dict[str, Any]) -> None:
        """Send the names of all files."""
        names = "".join(f"{name}\n" for name in self.server.folder.names()).encode()
        self.wfile.write(encode_header({"status": 200, "filesize": len(names)}) + names)

    def refuse(self, refusal: Refusal) -> None:
        """Tell why, and wait until the client has read it."""
        self.log(f"refused with {refusal.status}: {refusal}")
        with suppress(OSError):
            self.wfile.write(encode_header({"status": refusal.status, "message": str(refusal)}))
            self.connection.shutdown(socket.SHUT_WR)
            # To close while the client is sending would reset the connection, and take the answer back.
            deadline = time.monotonic() + LINGER
            while (remaining := deadline - time.monotonic()) > 0:
                self.connection.settimeout(remaining)
                if not self.connection.recv(PIECE):
                    break

    def log(self, message: str) -> None:
        """Log what a client did."""
        logging.info("%s:%s %s", *self.client_address, message)


COMMANDS = {"put": FileTransferHandler.put, "get": FileTransferHandler.get, "ls": FileTransferHandler.ls}


class FileTransferServer(ThreadingTCPServer):
    """Serves a folder. A file has at most `largest` bytes; None: as many as there is room for."""

    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 2.0  # what is on its way then is cut off, and leaves nothing behind
    max_connections = 200

    def __init__(self, port: int, folder: Folder, largest: int | None = None) -> None:
        self.folder = folder
        self.largest = largest
        super().__init__(("127.0.0.1", port), FileTransferHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep a folder of files for clients to put and get.")
    parser.add_argument("--port", type=int, default=9999, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--folder", default=".", help="where the files are (default: %(default)s)")
    parser.add_argument("--largest", type=int, metavar="BYTES", help="how large a file may be")
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", default=60.0, help="how long a client may be silent"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    FileTransferHandler.timeout = arguments.timeout
    with (
        Folder(arguments.folder) as folder,
        FileTransferServer(arguments.port, folder, arguments.largest) as server,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
