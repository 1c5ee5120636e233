"""Requests and answers: one, many, side by side, in pieces, and with nothing in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.datagram_handlers import UpperDatagram
from tests.conformance.handlers import Address, Echo, Socket, Upper
from tests.conformance.service import Start
from tests.conformance.targets import Need, datagrams, streams

LINES = [b"line %d\n" % number for number in range(100)]


@streams()
class TestOneClient:
    def test_is_answered(self, start: Start) -> None:
        assert start(Echo).exchange(b"hello") == b"hello"

    def test_that_says_nothing_is_told_nothing(self, start: Start) -> None:
        assert start(Echo).exchange(b"") == b""

    def test_sends_and_receives_in_turn(self, start: Start) -> None:
        client = start(Upper).connect()
        for line in LINES:
            client.send(line)
            assert client.receive(len(line)) == line.upper()

    def test_sends_ahead_of_the_answers(self, start: Start) -> None:
        sent = b"".join(LINES)
        assert start(Upper).exchange(sent) == sent.upper()

    @pytest.mark.parametrize("segment", [1, 3])
    def test_sends_in_pieces(self, start: Start, segment: int) -> None:
        """Under TLS the handshake comes in pieces too."""
        client = start(Upper).connect(segment=segment)
        for line in LINES[:10]:
            client.send(line)
            assert client.receive(len(line)) == line.upper()


@streams()
class TestManyClients:
    def test_one_after_another(self, start: Start) -> None:
        service = start(Upper)
        for line in LINES[:20]:
            assert service.exchange(line) == line.upper()

    def test_waiting_in_line(self, start: Start) -> None:
        service = start(Upper)
        clients = [service.connect() for _ in range(5)]
        for client in clients:
            client.send(b"hello\n")
            assert client.receive(6) == b"HELLO\n"
            client.close()


@streams(Need.SIDE_BY_SIDE)
def test_clients_at_once_are_answered_in_turn(start: Start) -> None:
    service = start(Upper)
    clients = [service.connect() for _ in range(16)]
    for line in LINES[:3]:
        for client in clients:
            client.send(line)
        for client in reversed(clients):
            assert client.receive(len(line)) == line.upper()


@streams()
def test_the_handler_knows_the_client(start: Start) -> None:
    client = start(Address).connect()
    client.send(b"")
    assert client.receive_all() == repr(client.socket.getsockname()).encode()


@streams(Need.SOCKET)
def test_the_handler_has_a_socket_that_blocks(start: Start) -> None:
    service = start(Socket)
    client = service.connect()
    told = (True, None, True, service.server.server_address, client.socket.getsockname())
    assert client.receive_all() == repr(told).encode()


class TestPaths:
    """Unix sockets: unix(7)."""

    @pytest.fixture(params=["plain", "größe", b"bytes", Path("path")], ids=str)
    def path(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        """Return an address in a folder of the test's own, where a longer one might not fit."""
        monkeypatch.chdir(tmp_path)
        return request.param

    @streams(Need.PATHS)
    def test_of_connections(self, start: Start, path: Any) -> None:
        service = start(Echo, server_address=path)
        assert service.exchange(b"hello") == b"hello"
        assert Path(os.fsdecode(path)).is_socket()

    @datagrams(Need.PATHS)
    def test_of_datagrams(self, start: Start, path: Any) -> None:
        service = start(UpperDatagram, server_address=path)
        assert service.served.exchange(b"hello") == b"HELLO"

    @streams(Need.PATHS)
    def test_may_be_names_without_a_file(self, start: Start) -> None:
        name = f"\0doorkeep-conformance-{os.getpid()}"
        service = start(Echo, server_address=name)
        assert service.server.server_address == name.encode()
        assert service.exchange(b"hello") == b"hello"
