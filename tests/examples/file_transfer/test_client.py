"""The client's prompt."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.examples.file_transfer.service import Service, header
from tests.examples.programs import PATIENCE, run


def client(service: Service, folder: Path, *lines: str) -> str:
    """Return what the client writes when these lines are typed."""
    return run("file_transfer/client.py", "--port", service.port, typed="\n".join(lines) + "\n", folder=folder)


def test_puts_and_gets(service: Service, tmp_path: Path) -> None:
    content = os.urandom(200_000)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "two words.bin").write_bytes(content)
    output = client(service, tmp_path, "put folder/two words.bin", "ls", "get two words.bin", "quit")
    assert output == (
        ">>: two words.bin: 200000 bytes are stored\n"
        ">>: kept.txt\ntwo words.bin\n"
        ">>: two words.bin: 200000 bytes have come\n"
        ">>: "
    )
    assert service.content("two words.bin") == content
    assert (tmp_path / "two words.bin").read_bytes() == content


def test_ends_with_its_input(service: Service, tmp_path: Path) -> None:
    assert client(service, tmp_path, "ls") == ">>: kept.txt\n>>: "


def test_goes_on_after_what_goes_wrong(service: Service, tmp_path: Path) -> None:
    (service.folder / "folder").mkdir()
    (tmp_path / "folder").write_bytes(bytes(3_000_000))
    output = client(
        service, tmp_path, "", "help", "put missing", "put folder", "get missing", "get ../x", "__class__", "ls"
    )
    assert output.splitlines() == [
        ">>: put FILE, get NAME, ls, quit",
        ">>: put FILE, get NAME, ls, quit",
        ">>: put failed: [Errno 2] No such file or directory: 'missing'",
        ">>: put failed: the server says: that is a folder",
        ">>: get failed: the server says: there is no such file",
        ">>: get failed: filename is no plain name",
        ">>: put FILE, get NAME, ls, quit",
        ">>: kept.txt",
        ">>: ",
    ]
    assert os.listdir(tmp_path) == ["folder"]


@contextmanager
def hostile_server(answer: bytes) -> Iterator[int]:
    """Yield the port of a server that answers whatever it is asked with `answer`, and closes."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", "the server has closed the connection"),
        (b"\0\0\0", "1 bytes are missing"),
        (b"\xff\xff\xff\xff", "a header has from 1 to 65536 bytes, not 4294967295"),
        (header(status=200, filesize=100) + b"cut short", "91 bytes are missing"),
        (header(status=200, filesize=-1), "filesize is no number of bytes"),
        (header(status=200, filesize=2**62), "there is no room for so large a file"),
        (header(filesize=0), "the server says: None"),
        (header(status=500, message="\x1b[2J"), r"the server says: '\x1b[2J'"),
    ],
)
def test_does_not_trust_the_server(answer: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with hostile_server(answer) as port:
        output = run("file_transfer/client.py", "--port", port, typed="get a\n", folder=tmp_path)
    assert output == f">>: get failed: {complaint}\n>>: "
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"mine"}


def test_chooses_the_local_name_itself(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with hostile_server(header(status=200, filename="../evil", filesize=3) + b"abc") as port:
        run("file_transfer/client.py", "--port", port, typed="get a\n", folder=tmp_path / "here")
    assert (tmp_path / "here" / "a").read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["here"]


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as holder:  # of a port at which nobody listens
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        output = run("file_transfer/client.py", "--port", port, typed="ls\n", folder=tmp_path)
    assert "ls failed: " in output
