"""`FaultySocket`: what each kind of fault does, and that the rest of the socket is a real one."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from doorkeep.testing import FaultySocket

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return two connected sockets."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(30)
        right.settimeout(30)
        yield left, right


def test_raises_on_cue_and_then_works(pair: Pair) -> None:
    left, right = pair
    right.sendall(b"hello")
    with FaultySocket(left, recv=[OSError(errno.EIO, "first"), None, InterruptedError]) as faulty:
        with pytest.raises(OSError, match="first"):
            faulty.recv(2)
        assert faulty.recv(2) == b"he"
        with pytest.raises(InterruptedError):
            faulty.recv(2)
        assert faulty.recv(2) == b"ll"
        assert faulty.recv(2) == b"o"
        assert faulty.calls == {"recv": 5}


def test_takes_the_descriptor_over(pair: Pair) -> None:
    left, _ = pair
    number = left.fileno()
    with FaultySocket(left) as faulty:
        assert faulty.fileno() == number
        assert left.fileno() == -1
        assert faulty.gettimeout() == 30
        assert (faulty.family, faulty.type) == (left.family, left.type)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_accept_fails_and_then_accepts() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with (
        FaultySocket(listener, accept=[OSError(errno.EMFILE, "none left")]) as faulty,
        socket.create_connection(faulty.getsockname(), 30) as client,
    ):
        with pytest.raises(OSError, match="none left"):
            faulty.accept()
        accepted, address = faulty.accept()
        accepted.close()
        assert address == client.getsockname()


def test_a_number_cuts_what_is_received(pair: Pair) -> None:
    left, right = pair
    right.sendall(b"hello")
    with FaultySocket(left, recv=[1, 100], recv_into=[1]) as faulty:
        assert faulty.recv(10) == b"h"
        assert faulty.recv(2) == b"el"
        buffer = bytearray(10)
        assert faulty.recv_into(buffer) == 1
        assert faulty.recv_into(buffer, 10) == 1
        assert buffer[:1] == b"o"


def test_a_number_cuts_a_datagram() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as plain, socket.socket(type=socket.SOCK_DGRAM) as sender:
        plain.bind(("127.0.0.1", 0))
        plain.settimeout(30)
        sender.bind(("127.0.0.1", 0))
        sender.sendto(b"hello", plain.getsockname())
        with FaultySocket(plain, recvfrom=[2]) as faulty:
            assert faulty.recvfrom(100) == (b"he", sender.getsockname())


def test_a_number_cuts_what_is_sent(pair: Pair) -> None:
    left, right = pair
    with FaultySocket(left, send=[2]) as faulty:
        assert faulty.send(b"hello") == 2
        assert right.recv(100) == b"he"
        assert faulty.send(b"llo") == 3
        assert right.recv(100) == b"llo"


def test_a_number_breaks_sendall_off(pair: Pair) -> None:
    left, right = pair
    with FaultySocket(left, sendall=[2, 3]) as faulty:
        with pytest.raises(BrokenPipeError, match="cut short after 2 bytes"):
            faulty.sendall(b"hello")
        assert right.recv(100) == b"he"
        faulty.sendall(b"llo")
        assert right.recv(100) == b"llo"


def test_bytes_stand_for_what_is_received(pair: Pair) -> None:
    left, right = pair
    right.sendall(b"real")
    with FaultySocket(left, recv=[b"", b"made up"], recv_into=[b"too"]) as faulty:
        assert faulty.recv(100) == b""
        assert faulty.recv(100) == b"made up"
        buffer = bytearray(10)
        assert faulty.recv_into(buffer) == 3
        assert buffer[:3] == b"too"
        assert faulty.recv(100) == b"real"


def test_files_meet_the_faults_of_recv_into(pair: Pair) -> None:
    left, right = pair
    right.sendall(b"line\n")
    with (
        FaultySocket(left, recv_into=[2, ConnectionResetError]) as faulty,
        faulty.makefile("rb") as file,
        pytest.raises(ConnectionResetError),
    ):
        file.readline()


def test_a_fault_may_last(pair: Pair) -> None:
    with FaultySocket(pair[0], recv=itertools.repeat(TimeoutError())) as faulty:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                faulty.recv(1)


def test_counts_without_failing(pair: Pair) -> None:
    with FaultySocket(pair[0], getsockname=()) as faulty:
        faulty.getsockname()
        faulty.getsockname()
        assert faulty.calls["getsockname"] == 2


@pytest.mark.parametrize("name", ["acept", "family", "_accept", "__init__"])
def test_refuses_what_is_no_method(pair: Pair, name: str) -> None:
    faults: dict[str, Any] = {name: [OSError()]}
    with pytest.raises(ValueError, match=f"a socket has no method '{name}'"):
        FaultySocket(pair[0], **faults)
    assert pair[0].fileno() != -1
