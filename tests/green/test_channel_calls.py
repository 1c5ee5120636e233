"""The calls of a channel with flags, and with much and little data."""

from __future__ import annotations

import os
import socket

import pytest

from doorkeep.green import run, spawn
from tests.background import Background
from tests.connection.pairs import receive_exactly
from tests.green.channels import PAIRS, fill, has_arrived, udp_pair, unix_pair
from tests.green.hubs import green_pair, let_others_run

pytestmark = pytest.mark.usefixtures("poller")


def test_a_descriptor_that_another_makes_block_does_not_hold_the_hub() -> None:
    def main() -> None:
        with unix_pair() as (connection, client):
            os.set_blocking(connection.fileno(), True)  # as a program does that has a duplicate of it
            reading = [spawn(connection.recv, 10), spawn(connection.recv_into, bytearray(10))]
            let_others_run()
            assert not any(task.done() for task in reading)
            client.sendall(b"one")
            reading[0].result(30)
            client.sendall(b"two")
            reading[1].result(30)
            size = fill(connection)
            os.set_blocking(connection.fileno(), True)
            sending = spawn(connection.sendall, b"x")
            let_others_run()
            assert not sending.done()
            receive_exactly(client, size)
            sending.result(30)

    run(main)


class TestFlags:
    def test_a_look_at_what_is_to_come(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                reader = spawn(connection.recv, 10, socket.MSG_PEEK)
                let_others_run()
                client.sendall(b"hello")
                assert reader.result(30) == b"hello"
                assert connection.recv(2, socket.MSG_PEEK) == b"he"
                assert connection.recv(10) == b"hello"

        run(main)

    def test_without_waiting(self) -> None:
        def main() -> None:
            with green_pair(None) as (connection, client):
                for _ in range(2):
                    with pytest.raises(BlockingIOError):
                        connection.recv(10, socket.MSG_DONTWAIT)
                    with pytest.raises(BlockingIOError):
                        connection.recv_into(bytearray(10), 0, socket.MSG_DONTWAIT)
                client.sendall(b"hello")
                assert has_arrived(connection)
                assert connection.recv(10, socket.MSG_DONTWAIT) == b"hello"
            with unix_pair() as (connection, _):
                connection.settimeout(None)
                fill(connection)
                with pytest.raises(BlockingIOError):
                    connection.send(b"x", socket.MSG_DONTWAIT)

        run(main)

    @pytest.mark.parametrize("pair", ["tcp", "unix"])
    def test_waiting_for_all(self, pair: str) -> None:
        def main() -> None:
            with PAIRS[pair]() as (connection, client):
                connection.settimeout(None)
                reader = spawn(connection.recv, 6, socket.MSG_WAITALL)
                let_others_run()
                client.sendall(b"abc")
                let_others_run(3)
                assert not reader.done()
                client.sendall(b"defgh")
                assert reader.result(30) == b"abcdef"
                buffer = bytearray(6)
                filler = spawn(connection.recv_into, buffer, 0, socket.MSG_WAITALL)
                let_others_run()
                client.sendall(b"i")
                let_others_run(3)
                assert not filler.done()
                client.shutdown(socket.SHUT_WR)
                assert filler.result(30) == 3
                assert buffer == b"ghi\0\0\0"

        run(main)

    def test_waiting_for_all_of_a_datagram(self) -> None:
        def main() -> None:
            with udp_pair() as (connection, client):
                connection.settimeout(None)
                client.sendall(b"abc")
                assert connection.recv(6, socket.MSG_WAITALL) == b"abc"

        run(main)


class TestSizes:
    def test_nothing_is_there_at_once(self) -> None:
        def main() -> None:
            with green_pair(None) as (connection, _peer):
                for _ in range(2):
                    assert connection.recv(0) == b""
                    assert connection.recv_into(bytearray()) == 0
                    with pytest.raises(BlockingIOError):
                        connection.recv(1, socket.MSG_DONTWAIT)

        run(main)

    def test_much_at_once(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                sender = spawn(connection.sendall, bytes(range(256)) * 8192)
                taker = Background(receive_exactly, client, 256 * 8192)
                sender.result(30)
                assert taker.result() == bytes(range(256)) * 8192
                client.sendall(bytes(3000))
                received = b""
                while len(received) < 3000:
                    received += connection.recv(1 << 20)
                assert received == bytes(3000)

        run(main)

    def test_no_less_than_nothing(self) -> None:
        def main() -> None:
            with green_pair() as (connection, _):
                with pytest.raises(ValueError, match="negative buffersize"):
                    connection.recv(-1)
                with pytest.raises(ValueError, match="negative buffersize"):
                    connection.recv_into(bytearray(1), -1)
                with pytest.raises(ValueError, match="buffer too small"):
                    connection.recv_into(bytearray(1), 2)

        run(main)

    def test_buffers_of_any_kind(self) -> None:
        def main() -> None:
            from array import array

            numbers = array("i", range(100000))
            with green_pair() as (connection, client):
                taker = Background(receive_exactly, client, 400000)
                connection.sendall(numbers)
                assert taker.result() == numbers.tobytes()
                assert connection.send(memoryview(b"abc")) == 3
                assert receive_exactly(client, 3) == b"abc"
                for not_data in ("text", 5, None):
                    with pytest.raises(TypeError):
                        connection.sendall(not_data)
                client.sendall(numbers[:2].tobytes())
                target = array("i", [9, 9, 9])
                assert connection.recv_into(target) == 8
                assert target.tolist() == [0, 1, 9]

        run(main)

    def test_an_empty_datagram_is_one(self) -> None:
        def main() -> None:
            with udp_pair() as (connection, client):
                connection.sendall(b"")
                client.settimeout(30)
                assert client.recv(10) == b""
                connection.send(b"")
                assert client.recv(10) == b""
                client.send(b"")
                assert connection.recv(10) == b""

        run(main)
