"""The two ways to TLS: a handler's `setup()`, and settings."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.examples.programs import Program, connect

EXAMPLES = ("tls_setup.py", "tls_settings.py")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the server's certificate and key."""
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@contextmanager
def conversation(port: int, authority: trustme.CA) -> Iterator[ssl.SSLSocket]:
    """Yield a connection whose server has shown that it is localhost."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with connect(port) as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        yield connection


@pytest.mark.parametrize("example", EXAMPLES)
def test_answers_over_tls(example: str, certificate: Path, authority: trustme.CA) -> None:
    with (
        Program(example, "--port", 0, "--certificate", certificate) as server,
        conversation(server.port(), authority) as connection,
        connection.makefile("rwb") as stream,
    ):
        if example == "tls_settings.py":
            assert stream.readline() == f"Welcome, by {connection.version()}\n".encode()
        stream.write(b"hello\n")
        stream.flush()
        assert stream.readline() == b"HELLO\n"


@pytest.mark.parametrize("example", EXAMPLES)
def test_silent_client_delays_nobody(example: str, certificate: Path, authority: trustme.CA) -> None:
    with Program(example, "--port", 0, "--certificate", certificate) as server:
        port = server.port()
        with connect(port), conversation(port, authority) as connection:
            connection.sendall(b"hello\n")
            assert connection.recv(100) != b""


@pytest.mark.parametrize("example", EXAMPLES)
def test_client_without_tls_is_closed_and_harms_nobody(example: str, certificate: Path, authority: trustme.CA) -> None:
    with Program(example, "--port", 0, "--certificate", certificate) as server:
        port = server.port()
        with connect(port) as plain:
            plain.sendall(b"hello\n")
            plain.shutdown(socket.SHUT_WR)
            with plain.makefile("rb") as answers:
                assert b"HELLO" not in answers.read()
        with conversation(port, authority) as connection:
            connection.sendall(b"hello\n")
            assert connection.recv(100) != b""


def test_key_in_a_file_of_its_own(authority: trustme.CA, tmp_path: Path) -> None:
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "chain.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    files = ("--certificate", tmp_path / "chain.pem", "--key", tmp_path / "key.pem")
    with Program("tls_settings.py", "--port", 0, *files) as server, conversation(server.port(), authority) as client:
        assert client.recv(100).startswith(b"Welcome")
