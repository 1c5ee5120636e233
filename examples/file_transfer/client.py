"""Asks for commands, and has the file-transfer server do them.

python examples/file_transfer/client.py
>>: put report.pdf
>>: ls
>>: get report.pdf
>>: quit

Each command has a connection of its own: what goes wrong costs that command only.
"""

from __future__ import annotations

import argparse
import os
import socket
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO

from folder import Folder
from protocol import CutShort, Refusal, checked_name, checked_size, copy_exactly, encode_header, read_header


def put(connection: socket.socket, path: str) -> None:
    """Send a file."""
    name = checked_name(os.path.basename(path))
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = {"cmd": "put", "filename": name, "filesize": size, "reply": True}
        # A server that refuses the file need not read it to its end: the answer tells.
        with suppress(ConnectionError), connection.makefile("wb") as stream:
            stream.write(encode_header(header))
            copy_exactly(file, stream, size)
    with connection.makefile("rb") as answers:
        read_answer(answers)
    print(f"{name}: {size} bytes are stored")


def get(connection: socket.socket, name: str) -> None:
    """Fetch a file into the current folder, under the name that was asked for, whatever the server says."""
    connection.sendall(encode_header({"cmd": "get", "filename": checked_name(name)}))
    with connection.makefile("rb") as answers, Folder(".") as here:
        size = checked_size(read_answer(answers).get("filesize"))
        here.put(name, size, answers)
    print(f"{name}: {size} bytes have come")


def ls(connection: socket.socket, _: str) -> None:
    """Show the names of all files."""
    connection.sendall(encode_header({"cmd": "ls"}))
    names = BytesIO()
    with connection.makefile("rb") as answers:
        copy_exactly(answers, names, checked_size(read_answer(answers).get("filesize")))
    for name in names.getvalue().decode(errors="replace").splitlines():
        print(printable(name))


COMMANDS = {"put": put, "get": get, "ls": ls}


def read_answer(stream: BinaryIO) -> dict[str, Any]:
    """Return the header of the server's answer. Raises `Refusal` if it has refused."""
    header = read_header(stream)
    if header is None:
        raise CutShort("the server has closed the connection")
    status = header.get("status")
    if not isinstance(status, int) or status >= 400:
        raise Refusal(0, f"the server says: {printable(str(header.get('message')))}")
    return header


def printable(text: str) -> str:
    """Return a text that plays no tricks on the terminal."""
    return text if text.isprintable() else ascii(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="Put files to the file-transfer server and get them.")
    parser.add_argument("--port", type=int, default=9999, help="where the server listens (default: %(default)s)")
    address = ("127.0.0.1", parser.parse_args().port)
    with suppress(EOFError, KeyboardInterrupt):
        while (line := input(">>: ").strip()) != "quit":
            name, _, argument = line.partition(" ")
            command = COMMANDS.get(name)
            if command is None:
                print("put FILE, get NAME, ls, quit")
                continue
            try:
                with socket.create_connection(address, timeout=60) as connection:
                    command(connection, argument)
            except (Refusal, CutShort, OSError) as error:
                print(f"{name} failed: {error}")


if __name__ == "__main__":
    main()
