"""Green TLS connections: each call that may wait lets others run, and blocks as a plain one where there is no hub."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader
from doorkeep.green.sockets import GreenSocket, green
from doorkeep.green.tls import GreenSSLSocket
from tests import prerequisites
from tests.background import Background
from tests.connection.certificates import NAME, Certificates
from tests.connection.pairs import receive_exactly, tcp_pair, unix_pair
from tests.green.hubs import let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")

# Bytes of a record: the most that one may have (RFC 8446 section 5.1).
RECORD = 1 << 14

# What is written each time: after a write that found no room, OpenSSL takes none but the same.
CHUNK = bytes(8187) + b"hello"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates for all tests of this module."""
    prerequisites.module("trustme")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def wrapped_pair(certificates: Certificates, pair: Any = tcp_pair) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Yield the server's end of a connection and the client's, plain and without a handshake."""
    with (
        pair() as (accepted, client),
        certificates.server_context().wrap_socket(
            accepted, server_side=True, do_handshake_on_connect=False
        ) as server_end,
        certificates.client_context().wrap_socket(
            client, server_hostname=NAME, do_handshake_on_connect=False
        ) as client_end,
    ):
        yield server_end, client_end


@contextmanager
def green_tls_pair(
    certificates: Certificates, timeout: float | None = 30, pair: Any = tcp_pair
) -> Iterator[tuple[Any, ssl.SSLSocket]]:
    """Yield the server's end of a connection, green, and the client's, plain; the handshake is over."""
    with wrapped_pair(certificates, pair) as (server_end, client_end):
        connection: Any = green(the_hub(), server_end)
        greeting = spawn(connection.do_handshake)
        shaking = Background(client_end.do_handshake)
        greeting.result(30)
        shaking.result()
        connection.settimeout(timeout)
        yield connection, client_end


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


class TestHandshake:
    def test_lets_others_run(self, certificates: Certificates) -> None:
        def main() -> None:
            with wrapped_pair(certificates) as ends:
                server_end: Any
                client_end: Any
                server_end, client_end = (green(the_hub(), end) for end in ends)
                serving = spawn(server_end.do_handshake)
                let_others_run(2)
                assert not serving.done()
                spawn(client_end.do_handshake).result(30)
                serving.result(30)
                client_end.sendall(b"hello")
                assert server_end.recv(10) == b"hello"

        run(main)

    def test_the_object_stays_the_same(self, certificates: Certificates) -> None:
        def main() -> None:
            with wrapped_pair(certificates) as (server_end, _):
                server_end.settimeout(2.5)
                connection = green(the_hub(), server_end)
                assert connection is server_end
                assert type(connection) is GreenSSLSocket
                assert connection.gettimeout() == 2.5
                assert green(the_hub(), connection) is connection

        run(main)

    def test_one_that_is_over_already(self, certificates: Certificates) -> None:
        def main() -> None:
            with wrapped_pair(certificates) as (server_end, client_end):
                shaking = Background(client_end.do_handshake)
                server_end.do_handshake()
                shaking.result()
                connection = green(the_hub(), server_end)
                reader = spawn(connection.recv, 10)
                let_others_run()
                client_end.sendall(b"hello")
                assert reader.result(30) == b"hello"

        run(main)

    def test_comes_with_the_first_byte(self, certificates: Certificates) -> None:
        def main() -> None:
            with wrapped_pair(certificates) as (server_end, client_end):
                connection = green(the_hub(), server_end)
                reader = spawn(connection.recv, 10)
                shaking = Background(client_end.sendall, b"hello")
                assert reader.result(30) == b"hello"
                shaking.result()

        run(main)

    def test_times_out(self, certificates: Certificates) -> None:
        def main() -> None:
            with wrapped_pair(certificates) as (server_end, _):
                connection: Any = green(the_hub(), server_end)
                connection.settimeout(0.01)
                with pytest.raises(TimeoutError):
                    connection.do_handshake()

        run(main)

    def test_times_out_though_some_bytes_come(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates, 0.05) as (connection, client):
                stop = threading.Event()
                dripping = Background(drip, client, stop)
                with pytest.raises(TimeoutError):
                    connection.recv(10)
                stop.set()
                assert dripping.result() < RECORD

        def drip(client: ssl.SSLSocket, stop: threading.Event) -> int:
            """Send a record that takes seconds to come in; return how much of it was sent."""
            with socket.socket(fileno=os.dup(client.fileno())) as below:
                below.sendall(b"\x17\x03\x03" + RECORD.to_bytes(2, "big"))
                sent = 0
                while sent < RECORD and not stop.wait(0.001):
                    below.sendall(b"x")
                    sent += 1
            return sent

        run(main)

    def test_with_somebody_who_speaks_no_tls(self, certificates: Certificates) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, client):
                context = certificates.server_context()
                with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as server_end:
                    connection: Any = green(the_hub(), server_end)
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    with pytest.raises(ssl.SSLError):
                        connection.do_handshake()

        run(main)


class TestTheEnd:
    def test_unwrapped_it_is_a_plain_connection(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates) as (connection, client):
                unwrapping = spawn(connection.unwrap)
                let_others_run(2)
                assert not unwrapping.done()
                plain = client.unwrap()
                with plain, unwrapping.result(30) as clear:
                    clear.settimeout(30)
                    reader = spawn(clear.recv, 10)
                    let_others_run()
                    plain.sendall(b"in the clear")
                    assert reader.result(30) == b"in the cle"
                    buffer = bytearray(10)
                    assert clear.recv_into(buffer) == 2
                    assert clear.send(b"hello") == 5
                    clear.sendall(b"hello")
                    plain.settimeout(30)
                    assert receive_exactly(plain, 10) == b"hellohello"

        run(main)

    def test_the_client_says_goodbye(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates) as (connection, client):
                reader = spawn(connection.recv, 10)
                let_others_run()
                goodbye = Background(client.unwrap)
                assert reader.result(30) == b""
                connection.unwrap().close()
                goodbye.result().close()

        run(main)

    def test_who_waits_is_told_that_it_is_closed(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates, None) as (connection, _):
                reader = spawn(connection.recv, 10)
                let_others_run()
                connection.close()
                with pytest.raises(OSError, match="Bad file descriptor"):
                    reader.result(30)

        run(main)

    def test_files(self, certificates: Certificates) -> None:
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
