"""Headers that are none, or not what they should be."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.examples.file_transfer.service import Service, frame, header, put
from tests.examples.programs import Program


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\1\0\1"])
def test_length_out_of_bounds(service: Service, length: bytes) -> None:
    assert service.refuses(length) == 400


def test_longest_header(service: Service) -> None:
    text = json.dumps({"cmd": "put", "filename": "a", "filesize": 1}).encode()
    service.stores(frame(text.ljust(65536)) + b"A")
    assert service.content("a") == b"A"


@pytest.mark.parametrize("start", [b"", b"\0\0\0", b"\0\0\0\x20", b'\0\0\0\x20{"cmd"', put("a", b"long")[:-1]])
def test_silence_ends_at_the_deadline(start: bytes, tmp_path: Path) -> None:
    def refusal() -> int | None:
        with contextlib.suppress(ConnectionError):  # on a slow machine the refusal crosses what is sent
            return service.refuses(start)
        return None

    with Program("file_transfer/server.py", "--port", 0, "--folder", tmp_path, "--timeout", 0.2) as program:
        service = Service(program, tmp_path)
        while (status := refusal()) is None:
            pass
        assert status == 408
    assert list(tmp_path.iterdir()) == []


def test_one_byte_a_segment(service: Service) -> None:
    with service.peer() as peer:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for byte in put("slow.txt", b"content"):
            peer.send(bytes([byte]))
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.stream.read() == b""
    assert service.content("slow.txt") == b"content"


def test_end_between_messages(service: Service) -> None:
    service.stores()
    service.stores(put("a", b"A"))
    assert service.content("a") == b"A"


@pytest.mark.parametrize("size", [1, 3, 4, 5, 20])
def test_end_within_a_header(service: Service, size: int) -> None:
    service.stores(put("a", b"")[:size])
    assert not (service.folder / "a").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b'{"cmd": "ls", "filename": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"cmd": "ls"}',
        '{"cmd": "ls"}'.encode("utf-16"),
        b'{"cmd": "ls"',
        b'{"cmd": "ls"} {}',
        b"{'cmd': 'ls'}",
        b'["cmd", "ls"]',
        b'"ls"',
        b"7",
        b"null",
        b"[" * 30_000 + b"]" * 30_000,
        b'{"cmd":' * 8_000,
        b'{"cmd": "ls", "filesize": ' + b"9" * 5_000 + b"}",
        b'{"cmd": "ls", "filesize": NaN}',
        b'{"cmd": "ls", "filesize": -Infinity}',
        b'{"cmd": "ls", "filesize": 1e999}',
        b'{"cmd": "ls", "cmd": "ls"}',
        b'{"cmd": "ls", "more": {"a": 1, "a": 1}}',
    ],
    ids=lambda data: ascii(data[:30]),
)
def test_no_json_object_that_means_one_thing(service: Service, data: bytes) -> None:
    assert service.refuses(frame(data)) == 400


@pytest.mark.parametrize("size", [-1, True, False, "9", 1.5, 1.0, 2**63, None, [1], {}])
def test_size_that_is_none(service: Service, size: Any) -> None:
    assert service.refuses(header(cmd="put", filename="a", filesize=size)) == 400


def test_no_size(service: Service) -> None:
    assert service.refuses(header(cmd="put", filename="a")) == 400


def test_size_over_the_limit_is_refused_before_the_body_comes(tmp_path: Path) -> None:
    with Program("file_transfer/server.py", "--port", 0, "--folder", tmp_path, "--largest", 1000) as program:
        service = Service(program, tmp_path)
        service.stores(put("fits", bytes(1000)))
        assert service.refuses(header(cmd="put", filename="fits", filesize=1001)) == 413
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("fits", 1000)]


@pytest.mark.parametrize("size", [2**60, 2**63 - 1])
def test_size_without_room_is_refused_before_the_body_comes(service: Service, size: int) -> None:
    assert service.refuses(header(cmd="put", filename="a", filesize=size)) == 507


def test_empty_file(service: Service) -> None:
    service.stores(put("empty", b""))
    assert service.content("empty") == b""


@pytest.mark.parametrize(
    "command",
    ["__class__", "__init__", "finish", "setup", "handle", "refuse", "log", "PUT", "put ", "", None, 1, ["put"], {}],
)
def test_command_that_is_not_on_the_table(service: Service, command: Any) -> None:
    assert service.refuses(header(cmd=command, filename="a", filesize=0)) == 405


def test_no_command(service: Service) -> None:
    assert service.refuses(header(filename="a", filesize=0)) == 405


def test_little_endian_length_is_out_of_bounds(service: Service) -> None:
    text = b'{"cmd": "ls"}'
    assert service.refuses(struct.pack("<I", len(text)) + text) == 400
