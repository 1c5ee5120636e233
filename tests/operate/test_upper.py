"""The bundled handlers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys

import pytest

from doorkeep import ThreadingTCPServer, ThreadingUDPServer, parse_address
from doorkeep.operate import upper
from doorkeep.operate.upper import UpperDatagramHandler, UpperLineHandler, client_line, handler_for
from doorkeep.testing import converse
from doorkeep.testing.plugin import Serve


@pytest.mark.parametrize(
    ("said", "answer"),
    [(b"", b""), (b"one\ntwo\n", b"ONE\nTWO\n"), (b"no end", b"NO END"), ("größe\n".encode(), "GRößE\n".encode())],
)
def test_lines(said: bytes, answer: bytes) -> None:
    assert converse(UpperLineHandler, said) == answer


def test_each_line_is_answered_before_the_next(serve: Serve) -> None:
    client = serve(ThreadingTCPServer, UpperLineHandler).client
    for line in (b"one\n", b"two\n"):
        client.sendall(line)
        assert client.recv(100) == line.upper()


def test_a_line_longer_than_memory_should_hold(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upper, "_LONGEST_PIECE", 4)
    client = serve(ThreadingTCPServer, UpperLineHandler).client
    client.sendall(b"abcd")
    assert client.recv(100) == b"ABCD"


def test_datagrams(serve: Serve) -> None:
    assert serve(ThreadingUDPServer, UpperDatagramHandler).exchange(b"two\nlines") == b"TWO\nLINES"


@pytest.mark.parametrize(
    ("url", "handler"),
    [("tcp://[::1]:1", UpperLineHandler), ("unix:x", UpperLineHandler), ("udp://[::1]:1", UpperDatagramHandler)],
)
def test_handler_for(url: str, handler: type) -> None:
    assert handler_for(parse_address(url)) is handler


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("tcp://0.0.0.0:9999", '("127.0.0.1", 9999)'),
        ("udp://[::]:9999", '("::1", 9999)'),
        ("tcp://example.com:80", '("example.com", 80)'),
        ("unix:/it's quoted", '"/it\'s quoted"'),
        ("unix:relative", json.dumps(os.path.abspath("relative"))),
        ("unix:@name", r'"\u0000name"'),
    ],
)
def test_client_line_names_the_place(url: str, place: str) -> None:
    program = shlex.split(client_line(parse_address(url)))[-1]
    assert f"client.connect({place})" in program


def test_client_line_without_python3_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert shlex.split(client_line(parse_address("tcp://127.0.0.1:1")))[0] == sys.executable
