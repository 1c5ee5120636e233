"""WebSockets under TLS, where several threads read and write."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http.duplex import DuplexTLS
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.http.encryption import encrypted
from tests.http.models import in_one_process
from tests.http.websocket_client import (
    CLOSE,
    PING,
    Frame,
    RawClient,
    close_payload,
    frame,
)
from tests.http.websocket_handlers import Crowd, Echo, talk_to_the_crowd


@pytest.fixture(name="encrypted")
def certificate_and_context(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    return encrypted(tmp_path)


@in_one_process
def test_several_senders_under_tls(server_class: Any, serve: Serve, encrypted: tuple[str, ssl.SSLContext]) -> None:
    certificate, context = encrypted
    served = serve(server_class, Crowd, tls_certificate=certificate)
    with RawClient(context.wrap_socket(served.connect(), server_hostname="localhost")) as client:
        talk_to_the_crowd(client)


@in_one_process
def test_tls_ends(server_class: Any, serve: Serve, encrypted: tuple[str, ssl.SSLContext]) -> None:
    class Handler(Echo):
        ping_interval = 0.02

    certificate, context = encrypted
    served = serve(server_class, Handler, tls_certificate=certificate)
    with RawClient(context.wrap_socket(served.connect(), server_hostname="localhost")) as client:
        assert client.receive() == Frame(8, PING, b"")
        client.send(frame(CLOSE, close_payload(1000)))
        while (found := client.receive()) == Frame(8, PING, b""):
            pass
        assert found == Frame(8, CLOSE, close_payload(1000))
        assert client.receive() is None


def test_a_duplex_connection_reads_and_writes_at_a_time(encrypted: tuple[str, ssl.SSLContext]) -> None:
    certificate, context = encrypted
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate)
    ours, theirs = socket.socketpair()
    size = 3_000_000  # more than the sockets take
    with ours, theirs:
        shaking = Background(lambda: server_context.wrap_socket(ours, server_side=True))
        with context.wrap_socket(theirs, server_hostname="localhost") as client, shaking.result() as connection:
            duplex = DuplexTLS(connection)
            assert duplex.fileno() == connection.fileno()
            duplex.settimeout(30)
            reading = Background(read_all, duplex, size)
            writing = Background(duplex.sendall, b"w" * size)
            answering = Background(client.sendall, b"r" * size)  # the client reads nothing until all this is sent
            answering.result()
            assert reading.result() == b"r" * size
            assert read_all(client, size) == b"w" * size
            writing.result()
            duplex.settimeout(0.01)
            with pytest.raises(TimeoutError):
                duplex.recv(1)
            with pytest.raises(TimeoutError):
                duplex.sendall(b"w" * size * 3)
            duplex.settimeout(30)
            duplex.restore()
            assert connection.gettimeout() == 30


def read_all(connection: Any, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += connection.recv(1 << 16)
    return received
