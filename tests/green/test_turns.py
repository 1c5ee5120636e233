"""What one greenlet sends leaves whole: others that send on the same connection meanwhile come after it."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep.green import offload, run, sleep, spawn, timeout
from tests.background import Background
from tests.connection.certificates import Certificates
from tests.connection.pairs import receive_exactly
from tests.connection.pairs import unix_pair as plain_unix_pair
from tests.green.channels import unix_pair
from tests.green.hubs import green_pair, let_others_run
from tests.green.test_sending_order import WAYS, file_of
from tests.green.tls_pairs import green_tls_pair

pytestmark = pytest.mark.usefixtures("poller")

# Bytes, more than there is room for.
MUCH = 1 << 20


def collected(connection: Any) -> None:
    connection.make_writer(True).write(b"two")


SECONDS = {
    name: way for name, way in WAYS.items() if name not in ("its descriptor", "a copy", "what it was before")
} | {"what was collected": collected}


def send_file(connection: Any) -> None:
    with file_of(b"1" * MUCH) as file:
        connection.sendfile(file)


FIRSTS: dict[str, Callable[[Any], object]] = {
    "sendall": lambda connection: connection.sendall(b"1" * MUCH),
    "sendall of a view": lambda connection: connection.sendall(memoryview(b"1" * MUCH)),
    "a file": lambda connection: connection.make_writer().write(b"1" * MUCH),
    "what was collected": lambda connection: connection.make_writer(True).write(b"1" * MUCH),
    "sendfile": send_file,
}


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("second", SECONDS)
def test_comes_after(first: str, second: str) -> None:
    def main() -> None:
        with unix_pair() as (connection, client):
            sending = spawn(FIRSTS[first], connection)
            let_others_run()
            following = spawn(SECONDS[second], connection)
            let_others_run(2)
            data = Background(receive_exactly, client, MUCH + 3)
            assert offload(data.result) == b"1" * MUCH + b"two"
            sending.result(30)
            following.result(30)

    run(main)


@pytest.mark.parametrize("flags", [0, socket.MSG_DONTWAIT])
def test_what_must_not_wait_is_told_so(flags: int) -> None:
    def main() -> None:
        with unix_pair() as (connection, _):
            connection.settimeout(None)
            sending = spawn(connection.sendall, b"1" * MUCH)
            let_others_run()
            if not flags:
                connection.setblocking(False)
            for send in (connection.send, connection.sendall, lambda *two: connection.sendmsg([two[0]], [], two[1])):
                with pytest.raises(BlockingIOError):
                    send(b"two", flags)
            connection.close()
            assert isinstance(sending.exception(30), OSError)

    run(main)


@pytest.mark.parametrize("encrypted", [False, True])
def test_waits_for_its_turn_no_longer_than_the_timeout(encrypted: bool, certificates: Certificates) -> None:
    def main() -> None:
        with green_tls_pair(certificates, pair=plain_unix_pair) if encrypted else unix_pair() as (connection, client):
            sending = spawn(connection.sendall, b"1" * MUCH)
            let_others_run()
            connection.settimeout(0.01)
            with pytest.raises(TimeoutError):
                connection.sendall(b"two")
            connection.settimeout(30)
            received = Background(receive_exactly, client, MUCH)
            assert offload(received.result) == b"1" * MUCH
            sending.result(30)

    run(main)


def test_a_turn_ends_with_who_has_it() -> None:
    def give_up(connection: Any) -> None:
        with pytest.raises(TimeoutError), timeout(0.01):
            connection.sendall(b"1" * MUCH)

    def main() -> None:
        with unix_pair() as (connection, client):
            sending = spawn(give_up, connection)
            let_others_run()
            following = spawn(connection.sendall, b"two")
            sending.result(30)
            client.setblocking(False)
            data = b""
            while not data.endswith(b"two"):
                try:
                    data += client.recv(1 << 16)
                except BlockingIOError:
                    let_others_run()
            following.result(30)
            assert data == b"1" * (len(data) - 3) + b"two"

    run(main)


def test_another_thread_does_not_wait_for_its_turn() -> None:
    """It would have to be woken by the hub; two threads that send at once may mix what they send, as ever."""

    def main() -> None:
        with unix_pair() as (connection, client):
            sending = spawn(connection.sendall, b"1" * MUCH)
            let_others_run()
            data = Background(receive_exactly, client, MUCH + 3)
            offload(connection.sendall, b"two")
            sending.result(30)
            received = offload(data.result)
        assert received.count(b"1") == MUCH
        assert b"two" in received

    run(main)


def test_closing_ends_all() -> None:
    def main() -> None:
        with unix_pair() as (connection, _):
            sending = [spawn(connection.sendall, b"1" * MUCH) for _ in range(3)]
            let_others_run()
            connection.close()
            for one in sending:
                with pytest.raises(OSError, match="Bad file descriptor"):
                    one.result(30)

    run(main)


def block(number: int, generator: random.Random) -> bytes:
    return number.to_bytes(1, "big") * generator.choice([1, 100, 5_000, 300_000])


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("seed", range(3))
def test_many_at_once(kind: str, seed: int, certificates: Certificates) -> None:
    generator = random.Random(seed)
    blocks = [block(number, generator) for number in range(60)]
    data = b""

    def send(connection: Any, number: int) -> None:
        data = blocks[number]
        way = number % 4
        if way == 0:
            connection.sendall(data)
        elif way == 1:
            connection.make_writer().write(data)
        elif way == 2:
            connection.make_writer(True).write(data)
            sleep(0)
        else:
            with file_of(data) as file:
                connection.sendfile(file)

    def main() -> None:
        nonlocal data
        pairs: dict[str, Any] = {
            "tcp": green_pair,
            "unix": unix_pair,
            "tls": lambda: green_tls_pair(certificates, pair=plain_unix_pair),
        }
        with pairs[kind]() as (connection, client):
            tasks = [spawn(send, connection, number) for number in range(len(blocks))]
            received = Background(receive_exactly, client, sum(map(len, blocks)))
            for task in tasks:
                task.result(30)
            data = offload(received.result)

    run(main)
    for one in blocks:
        assert one in data
