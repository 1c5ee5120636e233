"""How long channels wait at the most."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, sleep, spawn
from tests.green.channels import fill, unix_pair
from tests.green.hubs import green_pair, let_others_run, the_hub
from tests.green.places import compute_until

pytestmark = pytest.mark.usefixtures("poller")


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
            with green_pair() as (connection, client):
                client.sendall(b"x")
                assert connection.recv(10) == b"x"
                connection.settimeout(0.05)
                compute_until(time.monotonic() + 0.1)
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    connection.recv(10)
                assert time.monotonic() >= begun + 0.05

        run(main)

    def test_a_shorter_one_follows_a_longer_one(self) -> None:
        def main() -> None:
            with green_pair(3600) as (connection, client):
                reader = spawn(connection.recv, 10)
                let_others_run()
                client.sendall(b"x")
                assert reader.result(30) == b"x"
                connection.settimeout(0.02)
                with pytest.raises(TimeoutError):  # an hour earlier than the one before
                    connection.recv(1)

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
            patient: list[Any] = []
            with green_pair(None) as (connection, client):

                def read(timeout: float | None) -> float:
                    connection.settimeout(timeout)
                    begun = time.monotonic()
                    with pytest.raises(TimeoutError):
                        connection.recv(1)
                    return time.monotonic() - begun

                early = spawn(read, 0.05)
                let_others_run()
                late = spawn(read, 0.1)
                let_others_run()
                for timeout in (3600, None):
                    connection.settimeout(timeout)
                    patient.append(spawn(connection.recv, 1))
                    let_others_run()
                assert early.result(30) >= 0.05
                assert late.result(30) >= 0.1
                assert not any(reader.done() for reader in patient)
                client.sendall(b"xy")
                assert [reader.result(30) for reader in patient] == [b"x", b"y"]

        run(main)

    def test_an_interrupted_reader_takes_no_other_s(self) -> None:
        def main() -> None:
            with green_pair(3600) as (connection, _):
                waiting: list[Any] = []

                def read() -> None:
                    waiting.append(getcurrent())
                    connection.recv(1)

                readers = [spawn(read)]
                let_others_run()
                connection.settimeout(0.05)
                readers.append(spawn(read))
                let_others_run()
                the_hub().interrupt(waiting[0], KeyError())
                with pytest.raises(KeyError):
                    readers[0].result(30)
                with pytest.raises(TimeoutError):
                    readers[1].result(30)

        run(main)

    def test_reading_has_one_and_writing_another(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, _):
                fill(connection)
                connection.settimeout(0.02)
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
                with pytest.raises(TimeoutError):  # each of its parts takes less, all of them 20 seconds
                    connection.sendall(bytes(1 << 28))
                assert time.monotonic() >= begun + 0.2
                sent.append(True)
                drainer.result(30)

        run(main)

    def test_what_came_in_time_counts_though_nobody_looked(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, client):
                fill(connection)
                connection.settimeout(0.02)

                def send_and_compute() -> None:
                    client.sendall(b"x")
                    compute_until(time.monotonic() + 0.05)

                reader = spawn(connection.recv, 1)
                spawn(send_and_compute)  # in the same turn: the hub looks at no clock in between
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
