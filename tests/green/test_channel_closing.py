"""Channels that are closed or forgotten while others wait in them, and after."""

from __future__ import annotations

import errno
import os
import socket
from types import FrameType
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.core import Channel
from doorkeep.green.sockets import green
from tests.background import Background, eventually
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.channels import channel_of, fill, unix_pair, warm_up
from tests.green.hubs import green_pair, let_others_run, the_hub
from tests.green.interrupting import Bell

pytestmark = pytest.mark.usefixtures("poller")


class TestClosing:
    def test_who_waits_is_told(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, _):
                connection.settimeout(None)
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


def test_a_signal_handler_may_close_a_socket_that_is_waited_for() -> None:
    def main() -> None:
        with green_pair() as (connection, _client):
            hub = the_hub()

            def ring(number: int, frame: FrameType | None) -> None:
                if hub.parks():  # a greenlet was interrupted, and may be amid the call
                    bell.armed = True
                else:
                    connection.close()

            with Bell(ring) as bell, pytest.raises(OSError, match="Bad file descriptor"):
                connection.recv(10)

    run(main)
