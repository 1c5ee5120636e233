"""Channels: what is remembered of a descriptor, and waiting for it."""

from __future__ import annotations

import socket

import pytest

from doorkeep.green import run, spawn
from tests.connection.pairs import receive_exactly
from tests.green.channels import PAIRS, channel_of, fill, has_arrived, udp_pair, unix_pair, warm_up
from tests.green.hubs import green_pair, let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")


class TestMemory:
    def test_after_a_short_read_a_tcp_stream_is_known_to_be_empty(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                channel = channel_of(connection)
                client.sendall(b"hello")
                assert connection.recv(100) == b"hello"
                assert not channel.readable
                client.sendall(b"again")
                assert has_arrived(connection)
                assert not channel.readable  # the kernel has not been asked
                switches = the_hub().switches
                assert connection.recv(5) == b"again"
                assert the_hub().switches > switches  # but is now, by the hub
                assert channel.readable  # as there was all that we wanted

        run(main)

    @pytest.mark.parametrize("pair", ["unix", "unix datagrams", "udp"])
    def test_others_are_not(self, pair: str) -> None:
        def main() -> None:
            with PAIRS[pair]() as (connection, client):
                client.sendall(b"hello")
                client.sendall(b"again")
                assert connection.recv(100)[:5] == b"hello"
                assert channel_of(connection).readable

        run(main)

    @pytest.mark.parametrize("flags", [socket.MSG_PEEK, socket.MSG_WAITALL])
    def test_reading_with_flags_says_nothing(self, flags: int) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                client.sendall(b"hello")
                assert connection.recv(5, flags) == b"hello"
                assert channel_of(connection).readable

        run(main)

    def test_the_end_of_the_stream_is_not_forgotten(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                waiter = spawn(connection.recv, 100)
                let_others_run()
                client.sendall(b"last words")
                client.shutdown(socket.SHUT_WR)
                assert waiter.result(30) == b"last words"
                assert connection.recv(100) == b""
                assert connection.recv(100) == b""

        run(main)

    def test_a_look_without_waiting_asks_the_kernel_each_time(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                client.sendall(b"hello")
                assert connection.recv(100) == b"hello"
                connection.setblocking(False)
                for _ in range(2):
                    with pytest.raises(BlockingIOError):
                        connection.recv(100)
                client.sendall(b"again")
                assert has_arrived(connection)
                assert connection.recv(100) == b"again"
                buffer = bytearray(10)
                with pytest.raises(BlockingIOError):
                    connection.recv_into(buffer)
            with unix_pair() as (connection, client):
                connection.setblocking(False)
                size = fill(connection)
                with pytest.raises(BlockingIOError):
                    connection.send(b"x")
                receive_exactly(client, size)
                assert connection.send(b"x") == 1

        run(main)


@pytest.mark.parametrize("pair", PAIRS)
class TestWakeUps:
    """Nothing that the kernel tells is lost, whenever it comes."""

    def test_messages_one_by_one(self, pair: str) -> None:
        def main() -> None:
            with PAIRS[pair]() as (connection, client):
                for number in range(50):
                    if number % 3 == 0:
                        client.sendall(b"%03d" % number)
                        reader = spawn(connection.recv, 100)
                    else:
                        reader = spawn(connection.recv, 100)
                        let_others_run()
                        client.sendall(b"%03d" % number)
                    assert reader.result(30) == b"%03d" % number
                    connection.sendall(b"ok")
                    assert client.recv(100) == b"ok"

        run(main)

    def test_a_bigger_message_in_parts(self, pair: str) -> None:
        is_stream = pair in ("tcp", "unix")

        def main() -> None:
            with PAIRS[pair]() as (connection, client):
                client.sendall(b"abc")
                client.sendall(b"def")
                first = connection.recv(2)
                rest = b""
                while not rest.endswith(b"f"):
                    rest += connection.recv(2 if is_stream else 3)
                assert first + rest == (b"abcdef" if is_stream else b"abdef")

        run(main)


class TestWaitingInOrder:
    def test_several_read_one_socket(self) -> None:
        def main() -> None:
            with udp_pair() as (connection, client):
                readers = [spawn(connection.recv, 10) for _ in range(5)]
                let_others_run()
                sent = {b"%d" % number for number in range(5)}
                for data in sent:
                    client.sendall(data)
                assert {reader.result(30) for reader in readers} == sent

        run(main)

    def test_one_reads_while_another_writes(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, client):
                size = fill(connection)
                reader = spawn(connection.recv, 10)
                writer = spawn(connection.sendall, b"end")
                let_others_run(2)
                assert not reader.done()
                assert not writer.done()
                client.sendall(b"question")
                assert reader.result(30) == b"question"
                assert not writer.done()
                receive_exactly(client, size)
                writer.result(30)
                assert receive_exactly(client, 3) == b"end"

        run(main)

    def test_several_write_to_one_socket(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, client):
                size = fill(connection)
                writers = [spawn(connection.send, b"x") for _ in range(5)]
                let_others_run()
                assert not any(writer.done() for writer in writers)
                receive_exactly(client, size)
                assert [writer.result(30) for writer in writers] == [1] * 5
                assert receive_exactly(client, 5) == b"xxxxx"

        run(main)


class TestTheEndAndUrgentData:
    """A short read before them must not make us wait for what has come already."""

    @pytest.mark.parametrize("warm", [False, True])
    def test_data_and_the_end_at_once(self, warm: bool) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                if warm:
                    warm_up(connection, client)
                client.sendall(b"abc")
                client.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b"abc"
                assert connection.recv(100) == b""

        run(main)

    @pytest.mark.parametrize("warm", [False, True])
    def test_the_end_after_a_short_read(self, warm: bool) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                if warm:
                    warm_up(connection, client)
                client.sendall(b"abc")
                assert connection.recv(100) == b"abc"
                client.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""

        run(main)

    @pytest.mark.parametrize("warm", [False, True])
    def test_the_end_while_we_wait(self, warm: bool) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                if warm:
                    warm_up(connection, client)
                reader = spawn(connection.recv, 100)
                let_others_run()
                client.shutdown(socket.SHUT_WR)
                assert reader.result(30) == b""
                connection.sendall(b"still here")
                assert receive_exactly(client, 10) == b"still here"

        run(main)

    @pytest.mark.parametrize("warm", [False, True])
    def test_a_reset(self, warm: bool) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                if warm:
                    warm_up(connection, client)
                reader = spawn(connection.recv, 100)
                let_others_run()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
                with pytest.raises(ConnectionResetError):
                    reader.result(30)

        run(main)

    @pytest.mark.parametrize("warm", [False, True])
    def test_urgent_data_between(self, warm: bool) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                if warm:
                    warm_up(connection, client)
                client.sendall(b"abc")
                client.send(b"!", socket.MSG_OOB)
                client.sendall(b"def")
                # What is urgent parts the stream.
                assert connection.recv(100) == b"abc"
                assert connection.recv(1, socket.MSG_OOB) == b"!"
                assert connection.recv(100) == b"def"
                client.sendall(b"more")
                assert connection.recv(100) == b"more"
                client.shutdown(socket.SHUT_WR)
                assert connection.recv(100) == b""

        run(main)

    def test_urgent_data_within_the_stream(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
                client.send(b"a!", socket.MSG_OOB)
                client.sendall(b"b")
                client.shutdown(socket.SHUT_WR)
                received = b""
                while data := connection.recv(100):
                    received += data
                assert received == b"a!b"

        run(main)
