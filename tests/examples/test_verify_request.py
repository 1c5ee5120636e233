"""The server that admits an address range."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.examples.programs import PATIENCE, Program, run


def test_admits_the_range() -> None:
    with Program("verify_request.py", "--port", 0) as server:
        assert "HELLO" in run("tcp_client.py", "--port", server.port(), "hello")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address only")
def test_closes_all_others() -> None:
    with Program("verify_request.py", "--port", 0, "--network", "127.0.0.0/30") as server:
        address = ("127.0.0.1", server.port())
        for source, answer in (("127.0.0.2", b"HELLO\n"), ("127.0.0.4", b""), ("127.0.0.3", b"HELLO\n")):
            with socket.create_connection(address, PATIENCE, source_address=(source, 0)) as connection:
                if answer:  # a client that sends to a connection which is closed would see it reset
                    connection.sendall(b"hello\n")
                assert connection.recv(100) == answer
