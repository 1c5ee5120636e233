"""Files that WSGI applications answer with."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ

import pytest

from doorkeep.http.file_wrapper import FileWrapper
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing.plugin import Serve
from tests.http.applications import CLOSE, TEXT, answer, failure_of
from tests.http.models import in_one_process, on_every_model


def sending(path: Path, headers: Any = (TEXT,), skip: int = 0, wrap: Callable[[Any], Any] = lambda file: file) -> Any:
    """Return an application that answers with a file, from where `skip` bytes of it have been read."""

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", list(headers))
        file = path.open("rb")
        file.read(skip)
        return environ["wsgi.file_wrapper"](wrap(file), 1000)

    return application


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 300,000 bytes, which are not all alike."""
    found = tmp_path / "file"
    found.write_bytes(b"0123456789" * 30_000)
    return found


@on_every_model
def test_files_are_sent(server_class: Any, serve: Serve, path: Path) -> None:
    served = serve(server_class, WSGIHandler.serving(sending(path)))
    head, _, body = served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE).partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 300000" in head
    assert body == path.read_bytes()


@in_one_process
def test_files_are_sent_by_the_kernel(
    server_class: Any, serve: Serve, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    sendfile = os.sendfile

    def noting(*arguments: int) -> int:
        count = sendfile(*arguments)
        sent.append(count)
        return count

    monkeypatch.setattr(os, "sendfile", noting)
    served = serve(server_class, WSGIHandler.serving(sending(path)))
    assert served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE).endswith(path.read_bytes())
    assert sum(sent) == 300_000


@in_one_process
def test_a_client_that_goes_amid_a_file(
    server_class: Any, serve: Serve, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(bytes(20_000_000))  # more than the kernel keeps
    served = serve(server_class, WSGIHandler.serving(sending(path)))
    client = served.connect()
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(10)
    client.close()
    served.server.drain()
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_files_go_from_their_position_and_for_their_length(serve: Serve, path: Path) -> None:
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(sending(path, skip=299_990)))
    assert served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE).endswith(b"Content-Length: 10\r\n" + CLOSE + b"0123456789")
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(sending(path, [("Content-Length", "3")], skip=4)))
    assert served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE).endswith(b"Content-Length: 3\r\n" + CLOSE + b"456")
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(sending(path)))
    assert served.exchange(b"HEAD / HTTP/1.1\r\n" + CLOSE).endswith(b"Content-Length: 300000\r\n" + CLOSE)


def test_files_that_are_no_files_are_read(path: Path) -> None:
    class Upper(io.RawIOBase):
        """Shows something else than what is in its file, as a compressed file does."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def fileno(self) -> int:
            number: int = self.file.fileno()
            return number

        def close(self) -> None:
            self.file.close()

        def read(self, size: int | None = -1) -> bytes:
            data: bytes = self.file.read(size)
            return data.replace(b"0", b"X")

    path.write_bytes(b"0123456789" * 250)
    request = b"GET / HTTP/1.0\r\n\r\n"
    assert answer(sending(path, wrap=Upper), request)[1] == b"X123456789" * 250
    in_memory = io.BytesIO(path.read_bytes())
    assert answer(lambda environ, start: [start("200 OK", [TEXT]), FileWrapper(in_memory)][1], request)[1] == (
        b"0123456789" * 250
    )
    assert in_memory.closed


def test_pipes_are_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT])
        return FileWrapper(open(reading, "rb"))

    assert answer(application, b"GET / HTTP/1.0\r\n\r\n")[1] == b"from a pipe"


def test_a_file_that_is_shorter_than_its_length_is_an_error(path: Path) -> None:
    error, _ = failure_of(sending(path, [("Content-Length", "300001")]))
    assert isinstance(error, RuntimeError)


def test_files_are_closed(path: Path) -> None:
    file = path.open("rb")
    answer(lambda environ, start: [start("200 OK", [TEXT]), FileWrapper(file)][1], b"GET / HTTP/1.1\r\n\r\n")
    assert file.closed
    assert not hasattr(FileWrapper(object()), "close")


def test_a_file_in_memory_needs_no_start_response_to_fail(path: Path) -> None:
    error, written = failure_of(lambda environ, start_response: FileWrapper(path.open("rb")))
    assert isinstance(error, RuntimeError)
    assert written.startswith(b"HTTP/1.1 500 ")
