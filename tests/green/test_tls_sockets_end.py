"""How green TLS connections end: by the client's goodbye, by a close, or by going on in the clear."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.green import run, spawn
from tests.background import Background
from tests.connection.certificates import Certificates
from tests.connection.pairs import receive_exactly, unix_pair
from tests.green.channels import fill
from tests.green.hubs import let_others_run
from tests.green.tls_pairs import green_tls_pair

pytestmark = pytest.mark.usefixtures("poller")

# More than there is room for on the way.
DATA = bytes(1 << 23)


def send_file(connection: Any) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(0)
        sent: int = connection.sendfile(file)
        return sent


def receive_all(connection: Any) -> None:
    while connection.recv(1 << 16):
        pass


def receive_into(connection: Any) -> bytes:
    buffer = bytearray(5)
    assert connection.recvfrom_into(buffer)[0] == 5
    return bytes(buffer)


# Calls of a connection that is no longer encrypted, and what they return.
IN_THE_CLEAR: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "recvfrom": (lambda s: s.recvfrom(10)[0], b"hello"),
    "recvfrom_into": (receive_into, b"hello"),
    "sendall": (lambda s: s.sendall(DATA), None),
    "sendfile": (send_file, len(DATA)),
}


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

    @pytest.mark.parametrize("name", IN_THE_CLEAR)
    def test_unwrapped_its_calls_wait(self, certificates: Certificates, name: str) -> None:
        call, expected = IN_THE_CLEAR[name]

        def main() -> None:
            with green_tls_pair(certificates, 30, unix_pair) as (connection, client):
                unwrapping = spawn(connection.unwrap)
                goodbye = Background(client.unwrap)
                with unwrapping.result(30) as clear, goodbye.result() as plain:
                    plain.settimeout(30)
                    size = fill(clear)
                    task = spawn(call, clear)
                    let_others_run(2)
                    assert not task.done()
                    plain.sendall(b"hello")
                    taker = Background(receive_exactly, plain, size + (0 if expected == b"hello" else len(DATA)))
                    assert task.result(30) == expected
                    taker.result()

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

    @pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
    def test_who_reads_meets_the_end_when_another_shuts_it_down(self, certificates: Certificates, how: int) -> None:
        def main() -> None:
            with green_tls_pair(certificates) as (connection, _):
                readers = [spawn(connection.recv, 10), spawn(connection.recv_into, bytearray(10))]
                let_others_run()
                connection.shutdown(how)
                assert [reader.result(30) for reader in readers] == [b"", 0]

        run(main)

    def test_who_is_to_know_a_ragged_end_is_told_of_it(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates) as (connection, _):
                connection.suppress_ragged_eofs = False
                reader = spawn(connection.recv, 10)
                let_others_run()
                connection.shutdown(socket.SHUT_RD)
                with pytest.raises(ssl.SSLEOFError, match="shut down meanwhile"):
                    reader.result(30)

        run(main)

    def test_who_writes_sends_nothing_in_the_clear_when_another_shuts_it_down(self, certificates: Certificates) -> None:
        def main() -> None:
            with green_tls_pair(certificates, 30, unix_pair) as (connection, client):
                writer = spawn(connection.sendall, DATA)
                let_others_run(2)
                assert not writer.done()
                connection.shutdown(socket.SHUT_RD)
                taker = Background(receive_all, client)
                with pytest.raises(ssl.SSLEOFError, match="shut down meanwhile"):
                    writer.result(30)
                connection.close()
                taker.result()

        run(main)
