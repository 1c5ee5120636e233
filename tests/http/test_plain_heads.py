"""Heads that are parsed in one piece are what they would have been, read line by line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from doorkeep.http.core import COMPILED
from doorkeep.http.head import Head
from doorkeep.http.plain_heads import read_plain_head
from tests.http.generated import any_bytes, valid_requests
from tests.http.reading import by_lines
from tests.http.vectors import VECTORS, Vector

if TYPE_CHECKING:
    from doorkeep.http.plain_heads import PlainHead

needs_compiled = pytest.mark.skipif(not COMPILED, reason="the compiled parser is not there")

PLAIN = b"GET /a?b HTTP/1.1\r\nHost: a:80\r\nX-Empty:\r\nX: \t b c\td \t\r\n\r\n"


def attributes(head: Head) -> dict[str, Any]:
    """Return all that a head says."""
    return {name: getattr(head, name) for name in Head.__slots__}


def plain_head_of(data: bytes, host_required: bool = False) -> PlainHead | None:
    """Read from the beginning of the data; what has been read must be the head, or nothing."""
    reader = io.BufferedReader(io.BytesIO(data), max(len(data), 1))
    head = read_plain_head(reader, host_required)
    assert reader.read() == data[0 if head is None else head.size :]
    return head


def is_read_alike(data: bytes, host_required: bool) -> bool:
    """Return whether the head is plain; it must then be what it is when it is read line by line."""
    plain = plain_head_of(data, host_required)
    if plain is None:
        return False
    stream = io.BytesIO(data)
    head = by_lines(stream, host_required)
    assert head is not None
    assert attributes(plain) == attributes(head)
    assert stream.tell() == plain.size
    line = data.partition(b"\n")[0] + b"\n"
    assert (plain.raw_request_line, plain.request_line) == (line, line.decode().rstrip("\r\n"))
    return True


@pytest.mark.parametrize("host_required", [False, True])
@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_vectors_are_read_alike(vector: Vector, host_required: bool) -> None:
    is_read_alike(vector.data, host_required)


def test_any_requests_are_read_alike() -> None:
    random = Random(0)
    plain = sum(is_read_alike(valid_requests(random)[0], bool(turn % 2)) for turn in range(2000))
    plain += sum(is_read_alike(any_bytes(random), bool(turn % 2)) for turn in range(2000))
    assert not COMPILED or plain > 500


@needs_compiled
@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nCONTENT-length: 00012\r\nConnection: Close\r\n\r\n",
        b"PUT / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\nContent-Length: 999999999999999999\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 99 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 60000 + b"\r\n\r\n",
    ],
)
def test_these_are_plain(data: bytes) -> None:
    assert is_read_alike(data, host_required=True)
    assert is_read_alike(data + b"more", host_required=False)


@pytest.mark.parametrize(
    "data",
    [
        *(PLAIN[:size] for size in range(len(PLAIN))),
        b"\r\n" + PLAIN,
        b"GET // HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 65536 + b"\r\n\r\n",
    ],
)
def test_these_are_left_to_others(data: bytes) -> None:
    assert plain_head_of(data) is None


@pytest.mark.parametrize("host", [b"", b"Host: a b\r\n", b"Host: [::1]\r\n", b"Host: a:b\r\n", b"Host: a%20\r\n"])
def test_a_host_that_is_required_is_plain_or_left_to_others(host: bytes) -> None:
    data = b"GET / HTTP/1.1\r\n" + host + b"\r\n"
    assert plain_head_of(data, host_required=True) is None
    assert is_read_alike(data, host_required=False) is COMPILED


def test_a_reader_without_peek_is_left_to_others() -> None:
    stream = io.BytesIO(PLAIN)
    assert read_plain_head(stream, host_required=False) is None
    assert stream.tell() == 0


def test_a_stand_in_is_left_to_others() -> None:
    assert read_plain_head(Mock(), host_required=False) is None


def test_it_can_do_without_what_is_compiled() -> None:
    program = "from doorkeep.http import core; print(core.COMPILED)"
    environment = {**os.environ, "DOORKEEP_PURE": "1"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
