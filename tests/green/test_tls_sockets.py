"""Green TLS connections: each call that may wait lets others run, and blocks as a plain one where there is no hub."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader
from doorkeep.green.sockets import GreenSocket, green
from doorkeep.green.tls import GreenSSLSocket
from tests.background import Background
from tests.connection.certificates import Certificates
from tests.connection.pairs import receive_exactly, tcp_pair, unix_pair
from tests.green.hubs import let_others_run, the_hub
from tests.green.tls_pairs import green_tls_pair, wrapped_pair

pytestmark = pytest.mark.usefixtures("poller")


# What is written each time: after a write that found no room, OpenSSL takes none but the same.
CHUNK = bytes(8187) + b"hello"


def fill(connection: Any) -> int:
    """Send `CHUNK` without waiting until there is no room, which lasts on a Unix socket; return how much was sent."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    size = 0
    with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
        while True:
            size += connection.send(CHUNK)
    connection.settimeout(timeout)
    return size


def into(method: str) -> Callable[[Any], Any]:
    def call(connection: Any) -> bytes:
        buffer = bytearray(10)
        size = connection.read(10, buffer) if method == "read" else getattr(connection, method)(buffer)
        return bytes(buffer[:size])

    return call


def from_file(mode: str, **options: Any) -> Callable[[Any], Any]:
    def call(connection: Any) -> Any:
        with connection.makefile(mode, **options) as file:
            return file.read(5)

    return call


def send_file(connection: Any) -> Any:
    return connection.sendfile(io.BytesIO(CHUNK))


READS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "recv": (lambda s: s.recv(10), b"hello"),
    "recv_into": (into("recv_into"), b"hello"),
    "read": (lambda s: s.read(10), b"hello"),
    "read into a buffer": (into("read"), b"hello"),
    "file": (from_file("rb"), b"hello"),
    "file, unbuffered": (from_file("rb", buffering=0), b"hello"),
    "file of text": (from_file("r", encoding="ascii"), "hello"),
}


WRITES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "send": (lambda s: s.send(CHUNK), len(CHUNK)),
    "sendall": (lambda s: s.sendall(CHUNK), None),
    "write": (lambda s: s.write(CHUNK), len(CHUNK)),
    "sendfile": (send_file, len(CHUNK)),
    "writer": (lambda s: s.make_writer().write(CHUNK), len(CHUNK)),
}


@pytest.mark.parametrize("name", READS)
class TestReading:
    def test_lets_others_run(self, name: str, certificates: Certificates) -> None:
        call, expected = READS[name]

        def main() -> None:
            with green_tls_pair(certificates) as (connection, client):
                task = spawn(call, connection)
                let_others_run(2)
                assert not task.done()
                client.sendall(b"hello")
                assert task.result(30) == expected

        run(main)

    def test_times_out(self, name: str, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates, 0.01) as (connection, _), pytest.raises(TimeoutError):
                READS[name][0](connection)

        run(main)

    def test_blocks_elsewhere(self, name: str, certificates: Certificates) -> None:
        call, expected = READS[name]

        def main() -> None:
            with green_tls_pair(certificates) as (connection, client):
                task = Background(call, connection)
                client.sendall(b"hello")
                assert task.result() == expected

        run(main)


@pytest.mark.parametrize("name", WRITES)
class TestWriting:
    def test_lets_others_run(self, name: str, certificates: Certificates) -> None:
        call, expected = WRITES[name]

        def main() -> None:
            with green_tls_pair(certificates, 30, unix_pair) as (connection, client):
                size = fill(connection)
                task = spawn(call, connection)
                let_others_run(2)
                assert not task.done()
                taker = Background(receive_exactly, client, size + len(CHUNK))
                assert task.result(30) == expected
                assert taker.result().endswith(CHUNK)

        run(main)

    def test_times_out(self, name: str, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates, 0.01, unix_pair) as (connection, _):
                fill(connection)
                with pytest.raises(TimeoutError):
                    WRITES[name][0](connection)

        run(main)

    def test_blocks_elsewhere(self, name: str, certificates: Certificates) -> None:
        call, expected = WRITES[name]

        def main() -> None:
            with green_tls_pair(certificates, 30, unix_pair) as (connection, client):
                size = fill(connection)
                task = Background(call, connection)
                assert receive_exactly(client, size + len(CHUNK)).endswith(CHUNK)
                assert task.result() == expected

        run(main)


def test_without_waiting(certificates: Certificates) -> None:
    def main() -> None:
        with green_tls_pair(certificates, 0, unix_pair) as (connection, _):
            with pytest.raises(ssl.SSLWantReadError):
                connection.recv(10)
            with pytest.raises(ssl.SSLWantWriteError):
                connection.sendall(bytes(1 << 24))

    run(main)


class TestMuchAtOnce:
    def test_both_ways(self, certificates: Certificates) -> None:
        data = bytes(range(256)) * 4096

        def main() -> None:
            with wrapped_pair(certificates) as ends:
                left, right = (green(the_hub(), end) for end in ends)
                senders = [spawn(end.sendall, data) for end in (left, right)]
                takers = [spawn(receive_exactly, end, len(data)) for end in (left, right)]
                for sender in senders:
                    sender.result(30)
                for taker in takers:
                    assert taker.result(30) == data

        run(main)

    def test_a_file(self, certificates: Certificates, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(range(256)) * 4096)

        def main() -> None:
            with green_tls_pair(certificates) as (connection, client), path.open("rb") as file:
                taker = Background(receive_exactly, client, 1 << 20)
                assert spawn(connection.sendfile, file).result(30) == 1 << 20
                assert taker.result() == path.read_bytes()

        run(main)


def test_files(certificates: Certificates) -> None:
    def main() -> None:
        with green_tls_pair(certificates) as (connection, client):
            with connection.makefile("rb") as file:
                assert type(file) is Reader
                client.sendall(b"one\ntwo\nthree")
                assert [file.readline(), file.readline()] == [b"one\n", b"two\n"]
                assert file.read(5) == b"three"
            writer = connection.make_writer(collects=True)
            writer.write(b"hel")
            writer.write(b"lo")
            let_others_run()
            assert client.recv(10) == b"hello"

    run(main)


def test_a_listener_of_tls(certificates: Certificates) -> None:
    def main() -> None:
        plain = socket.create_server(("127.0.0.1", 0))
        with certificates.server_context().wrap_socket(plain, server_side=True) as encrypted:
            listener: Any = green(the_hub(), encrypted)
            acceptor = spawn(listener.accept)
            let_others_run()
            client = Background(certificates.connect, listener.getsockname())
            accepted, _ = acceptor.result(30)
            with accepted:
                assert type(accepted) is GreenSSLSocket
                accepted.sendall(b"hello")
                with client.result() as connected:
                    assert connected.recv(10) == b"hello"

    run(main)


def test_what_is_green_stays_so_under_tls(certificates: Certificates) -> None:
    def main() -> None:
        with tcp_pair() as (accepted, _), green(the_hub(), accepted) as connection:
            assert isinstance(connection, GreenSocket)
            context = certificates.server_context()
            copy = connection.dup()
            with connection.made_alike(context.wrap_socket(copy, True, do_handshake_on_connect=False)) as made:
                assert type(made) is GreenSSLSocket

    run(main)
