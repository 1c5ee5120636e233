"""Handshakes of green TLS connections."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.sockets import green
from doorkeep.green.tls import GreenSSLSocket
from tests.background import Background
from tests.connection.certificates import Certificates
from tests.connection.pairs import tcp_pair
from tests.green.hubs import let_others_run, the_hub
from tests.green.tls_pairs import green_tls_pair, wrapped_pair

pytestmark = pytest.mark.usefixtures("poller")


# Bytes of a record: the most that one may have (RFC 8446 section 5.1).
RECORD = 1 << 14


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
