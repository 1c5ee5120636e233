"""What greenlets that wait have collected: the hub sends it in their stead."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.sockets import green
from tests.connection.pairs import receive_exactly
from tests.green.channels import fill, unix_pair
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub

pytestmark = pytest.mark.usefixtures("poller")


def test_it_is_sent_without_waking_the_one_who_waits() -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            waiting: list[Any] = []
            order: list[str] = []

            def job() -> None:
                waiting.append(getcurrent())
                connection.make_writer(True).write(b"one")
                the_hub().park()
                order.append("woken")

            task = spawn(job)
            let_others_run(2)
            order.append(receive_exactly(client, 3).decode())
            the_hub().wake(waiting[0])
            task.result(30)
            assert order == ["one", "woken"]

    run(main)


def test_it_is_sent_before_the_hub_ends() -> None:
    def job(connection: Any) -> None:
        waiting.append(getcurrent())
        connection.make_writer(True).write(b"one")
        the_hub().park()

    def main() -> Any:
        connection = green(the_hub(), accepted)
        task = spawn(job, connection)
        let_others_run()  # both in one turn: the hub asks the kernel for nothing between the two
        return connection, task

    def end(task: Any) -> None:
        the_hub().wake(waiting[0])
        task.result(30)

    waiting: list[Any] = []
    accepted, client = socket.socketpair()
    with accepted, client:
        connection, task = run(main)
        assert receive_exactly(client, 3) == b"one"
        run(end, task)
        connection.close()


@pytest.mark.parametrize("size", [1 << 12, (1 << 16) - 1])
def test_what_has_no_room_waits_for_it(size: int) -> None:
    def main() -> None:
        with unix_pair() as (connection, client):
            filled = fill(connection)
            receive_exactly(client, filled // 2)

            def job() -> None:
                writer = connection.make_writer(True)
                for number in range(40):
                    writer.write(bytes([number]) * size)
                    let_others_run()

            task = spawn(job)
            let_others_run(4)
            received = bytearray()
            while len(received) < filled - filled // 2 + 40 * size:
                let_others_run()
                received += client.recv(1 << 14)
            task.result(30)
            expected = b"".join(bytes([number]) * size for number in range(40))
            assert received[filled - filled // 2 :] == expected

    run(main)


def test_an_interrupted_one_loses_nothing() -> None:
    def main() -> None:
        with unix_pair() as (connection, client):
            filled = fill(connection)
            waiting: list[Any] = []
            caught: list[BaseException] = []

            def job() -> None:
                waiting.append(getcurrent())
                connection.make_writer(True).write(b"late")
                try:
                    park_until(lambda: False)
                except LookupError as error:
                    caught.append(error)

            task = spawn(job)
            let_others_run()
            # Before it is resumed, to send what the hub could not.
            the_hub().interrupt(waiting[0], LookupError())
            let_others_run(2)
            assert caught
            receive_exactly(client, filled)
            task.result(30)
            let_others_run(2)  # what is left leaves when the job has ended
            assert receive_exactly(client, 4) == b"late"

    run(main)


def test_a_failure_is_for_the_next_write() -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            errors: list[OSError] = []

            def job() -> None:
                writer = connection.make_writer(True)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                writer.write(b"one")
                let_others_run()
                try:
                    writer.write(b"two")
                except OSError as error:
                    errors.append(error)

            spawn(job).result(30)
            assert [type(error) for error in errors] == [ConnectionResetError]

    run(main)


def test_it_is_sent_before_another_closes_the_socket() -> None:
    def main() -> None:
        with green_pair() as (connection, client):

            def job() -> None:
                connection.make_writer(True).write(b"one")
                let_others_run(2)

            task = spawn(job)
            the_hub().start(connection.close)
            task.result(30)
            assert receive_exactly(client, 3) == b"one"
            assert client.recv(1) == b""

    run(main)
