"""Channels: what is remembered of a descriptor, and waiting for it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, sleep, spawn
from doorkeep.green.core import Channel
from doorkeep.green.sockets import GreenSocket, green
from tests.background import Background, eventually
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.hubs import green_pair, let_others_run, the_hub
from tests.green.places import compute_until

pytestmark = pytest.mark.usefixtures("poller")


def channel_of(connection: socket.socket) -> Channel:
    assert isinstance(connection, GreenSocket)
    return connection._channel


def has_arrived(connection: socket.socket) -> bool:
    """Wait, outside of the hub, until there is something to read."""
    return bool(select.select([connection], [], [], 5)[0])


@contextmanager
def unix_pair(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with green(the_hub(), left) as connection, right:
        connection.settimeout(30)
        yield connection, right


@contextmanager
def udp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as plain,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        plain.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        plain.connect(client.getsockname())
        client.connect(plain.getsockname())
        with green(the_hub(), plain) as connection:
            connection.settimeout(30)
            yield connection, client


PAIRS = {
    "tcp": green_pair,
    "unix": unix_pair,
    "unix datagrams": lambda: unix_pair(socket.SOCK_DGRAM),
    "udp": udp_pair,
}


def fill(connection: socket.socket) -> int:
    """Send without waiting until there is no room; return the size."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += connection.send(bytes(1 << 16))
    connection.settimeout(timeout)
    return size


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
            with green_pair() as (connection, client):
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
            with green_pair() as (connection, client):
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


def warm_up(connection: socket.socket, client: socket.socket) -> None:
    """Have the kernel watch the connection already."""
    reader = spawn(connection.recv, 100)
    let_others_run()
    client.sendall(b"warm")
    assert reader.result(30) == b"warm"


class TestTimeouts:
    def test_a_call_ends_in_time_and_not_before(self) -> None:
        def main() -> None:
            with green_pair(0.03) as (connection, _):
                for _ in range(3):
                    begun = time.monotonic()
                    with pytest.raises(TimeoutError, match="timed out"):
                        connection.recv(1)
                    assert time.monotonic() >= begun + 0.03

        run(main)

    def test_time_before_the_call_does_not_count(self) -> None:
        def main() -> None:
            with green_pair(0.05) as (connection, client):
                client.sendall(b"x")
                assert connection.recv(10) == b"x"
                compute_until(time.monotonic() + 0.1)
                the_hub().call_at(time.monotonic() + 0.02, lambda: client.sendall(b"y"))
                assert connection.recv(10) == b"y"

        run(main)

    def test_a_shorter_one_follows_a_longer_one(self) -> None:
        def main() -> None:
            with green_pair(60) as (connection, client):
                reader = spawn(connection.recv, 10)
                let_others_run()
                client.sendall(b"x")
                assert reader.result(30) == b"x"
                connection.settimeout(0.02)
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                assert time.monotonic() < begun + 5

        run(main)

    def test_a_longer_one_follows_a_shorter_one(self) -> None:
        def main() -> None:
            with green_pair(0.01) as (connection, _):
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                connection.settimeout(0.06)
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                assert time.monotonic() >= begun + 0.06

        run(main)

    def test_each_reader_has_its_own(self) -> None:
        def main() -> None:
            with green_pair(None) as (connection, client):

                def read(timeout: float | None) -> float:
                    connection.settimeout(timeout)
                    begun = time.monotonic()
                    with pytest.raises(TimeoutError):
                        connection.recv(1)
                    return time.monotonic() - begun

                early = spawn(read, 0.05)
                let_others_run()
                late = spawn(read, 0.5)
                let_others_run()
                connection.settimeout(None)
                patient = spawn(connection.recv, 1)
                assert 0.05 <= early.result(30) < 0.4
                assert late.result(30) >= 0.5
                client.sendall(b"x")
                assert patient.result(30) == b"x"

        run(main)

    def test_an_interrupted_reader_takes_no_other_s(self) -> None:
        def main() -> None:
            with green_pair(0.05) as (connection, _):
                waiting: list[Any] = []

                def read() -> None:
                    waiting.append(getcurrent())
                    connection.recv(1)

                readers = [spawn(read), spawn(read)]
                let_others_run()
                the_hub().interrupt(waiting[0], KeyError())
                with pytest.raises(KeyError):
                    readers[0].result(30)
                with pytest.raises(TimeoutError):
                    readers[1].result(30)

        run(main)

    def test_reading_has_one_and_writing_another(self) -> None:
        def main() -> None:
            with green_pair(0.02) as (connection, _):
                fill(connection)
                reader = spawn(connection.recv, 1)
                let_others_run()
                connection.settimeout(0.05)
                writer = spawn(connection.sendall, b"x")
                for task in reader, writer:
                    with pytest.raises(TimeoutError):
                        task.result(30)

        run(main)

    def test_sendall_has_one_for_all_of_it(self) -> None:
        def main() -> None:
            with green_pair(0.2) as (connection, client):
                client.setblocking(False)
                sent: list[bool] = []

                def drain() -> None:
                    while not sent:
                        with contextlib.suppress(BlockingIOError):
                            client.recv(1 << 16)
                        sleep(0.005)

                drainer = spawn(drain)
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    connection.sendall(bytes(1 << 28))
                assert 0.2 <= time.monotonic() - begun < 2
                sent.append(True)
                drainer.result(30)

        run(main)

    def test_what_came_in_time_counts_though_nobody_looked(self) -> None:
        def main() -> None:
            with green_pair(0.02) as (connection, client):
                fill(connection)
                reader = spawn(connection.recv, 1)
                let_others_run()
                client.sendall(b"x")
                compute_until(time.monotonic() + 0.05)
                assert reader.result(30) == b"x"

        run(main)

    def test_none_waits_on(self) -> None:
        def main() -> None:
            with green_pair(0.01) as (connection, client):
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                connection.settimeout(None)
                the_hub().call_at(time.monotonic() + 0.05, lambda: client.sendall(b"x"))
                assert connection.recv(1) == b"x"

        run(main)


class TestClosing:
    def test_who_waits_is_told(self) -> None:
        def main() -> None:
            with green_pair(None) as (connection, _):
                fill(connection)
                waiters: list[Any] = [spawn(connection.recv, 1), spawn(connection.recv, 1)]
                waiters.append(spawn(connection.sendall, b"x"))
                let_others_run()
                connection.close()
                for waiter in waiters:
                    with pytest.raises(OSError, match="Bad file descriptor") as caught:
                        waiter.result(30)
                    assert caught.value.errno == errno.EBADF

        run(main)

    def test_by_another_thread(self) -> None:
        def main() -> None:
            with green_pair(None) as (connection, _):
                hub = the_hub()

                def close() -> None:
                    assert eventually(lambda: hub.waiting)
                    connection.close()

                thread = Background(close)
                with pytest.raises(OSError, match="Bad file descriptor"):
                    connection.recv(1)
                thread.result()

        run(main)

    def test_calls_on_a_closed_socket(self) -> None:
        def main() -> None:
            with green_pair() as (connection, _):
                connection.close()
                calls: list[Any] = [
                    lambda: connection.recv(1),
                    lambda: connection.recv_into(bytearray(1)),
                    lambda: connection.send(b"x"),
                    lambda: connection.sendall(b"x"),
                ]
                for call in calls:
                    with pytest.raises(OSError, match="Bad file descriptor") as caught:
                        call()
                    assert caught.value.errno == errno.EBADF

        run(main)

    def test_a_channel_that_outlives_its_socket(self) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, _):
                connection = green(the_hub(), accepted.dup())
                channel = channel_of(connection)
                connection.close()
                del connection
                for call in (lambda: channel.recv(1), lambda: channel.sendall(b"x")):
                    with pytest.raises(OSError, match="Bad file descriptor"):
                        call()

        run(main)

    def test_a_descriptor_that_closes_while_a_duplicate_lives(self) -> None:
        def main() -> None:
            with green_pair() as (first, first_client), green_pair() as (second, second_client):
                warm_up(first, first_client)
                warm_up(second, second_client)
                number = first.fileno()
                duplicate = socket.socket(fileno=os.dup(number))
                with duplicate:
                    first.close()
                    # The kernel still tells of the first by the number that is another's now.
                    moved = socket.socket(fileno=_moved_to(second.detach(), number))
                    with green(the_hub(), moved) as successor:
                        assert successor.fileno() == number
                        successor.settimeout(0.05)
                        reader = spawn(successor.recv, 100)
                        let_others_run()
                        first_client.sendall(b"for the duplicate")
                        with pytest.raises(TimeoutError):
                            reader.result(30)
                        successor.settimeout(30)
                        reader = spawn(successor.recv, 100)
                        let_others_run()
                        first_client.shutdown(socket.SHUT_WR)
                        second_client.sendall(b"for the successor")
                        assert reader.result(30) == b"for the successor"
                        duplicate.settimeout(30)
                        assert receive_exactly(duplicate, 17) == b"for the duplicate"

        run(main)

    def test_a_number_is_used_again(self) -> None:
        def main() -> None:
            numbers = set()
            for turn in range(20):
                with green_pair() as (connection, client):
                    numbers.add(connection.fileno())
                    warm_up(connection, client)
                    client.sendall(b"%d" % turn)
                    assert connection.recv(10) == b"%d" % turn
            assert len(numbers) < 20

        run(main)

    def test_a_descriptor_that_somebody_else_has_closed(self) -> None:
        def main() -> None:
            with green_pair() as (connection, _):
                duplicate = socket.socket(fileno=os.dup(connection.fileno()))
                victim = green(the_hub(), duplicate)
                os.close(victim.fileno())
                with pytest.raises(OSError, match="Bad file descriptor"):
                    victim.recv(1)
                victim._channel.close()  # type: ignore[attr-defined]  # a green one has it
                socket.socket.detach(victim)

        run(main)


def _moved_to(descriptor: int, number: int) -> int:
    os.dup2(descriptor, number)
    os.close(descriptor)
    return number


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


class TestForgetting:
    def test_a_socket_that_is_detached_is_a_plain_one(self) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, client):
                connection = green(the_hub(), accepted.dup())
                warm_up(connection, client)
                with socket.socket(fileno=connection.detach()) as plain:
                    plain.settimeout(30)
                    client.sendall(b"x")
                    assert plain.recv(10) == b"x"
                with pytest.raises(OSError, match="Bad file descriptor"):
                    connection.recv(1)

        run(main)

    def test_it_can_come_back(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                warm_up(connection, client)
                plain = socket.socket(fileno=connection.detach())
                with green(the_hub(), plain) as again:
                    warm_up(again, client)

        run(main)

    def test_what_waits_by_itself(self) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, client):
                channel = Channel(the_hub(), accepted)
                client.sendall(b"x")
                channel.expect()
                the_hub().park()
                channel.expect_no_more()
                assert accepted.recv(1) == b"x"
                the_hub().call_at(0, channel.wake_all)
                channel.expect()
                the_hub().park()
                channel.expect_no_more()
                channel.forget()

        run(main)


def test_dropped_sockets_are_closed() -> None:
    def main() -> None:
        for _ in range(3):
            with tcp_pair() as (accepted, client):
                connection = green(the_hub(), accepted.dup())
                warm_up(connection, client)
                with pytest.warns(ResourceWarning, match="unclosed"):
                    del connection
                accepted.close()
                assert client.recv(1) == b""

    run(main)
