"""What writers have collected leaves before anything that is sent by another way afterwards."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from doorkeep.green import run
from tests.background import Background
from tests.connection.certificates import Certificates
from tests.connection.pairs import receive_exactly
from tests.green.channels import fill, unix_pair
from tests.green.hubs import green_pair, let_others_run, the_hub
from tests.green.tls_pairs import green_tls_pair

pytestmark = pytest.mark.usefixtures("poller")

Send = Callable[[Any], object]


@contextmanager
def file_of(data: bytes) -> Iterator[Any]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        yield file


def by_file(connection: Any) -> None:
    with connection.makefile("wb") as file:
        file.write(b"two")


def by_another_writer(connection: Any) -> None:
    connection.make_writer(True).write(b"two")


def by_copy(connection: Any) -> None:
    with connection.dup() as copy:
        copy.sendall(b"two")


def by_sendfile(connection: Any) -> None:
    with file_of(b"two") as file:
        connection.sendfile(file)


def by_detached(connection: Any) -> None:
    with socket.socket(fileno=connection.detach()) as plain:
        plain.sendall(b"two")


WAYS: dict[str, Send] = {
    "send": lambda connection: connection.send(b"two"),
    "sendall": lambda connection: connection.sendall(b"two"),
    "sendall of a view": lambda connection: connection.sendall(memoryview(b"two")),
    "sendmsg": lambda connection: connection.sendmsg([b"t", b"wo"]),
    "its descriptor": lambda connection: os.write(connection.fileno(), b"two"),
    "a file": by_file,
    "another writer": by_another_writer,
    "a copy": by_copy,
    "sendfile": by_sendfile,
    "what it was before": by_detached,
}


@pytest.mark.parametrize("way", WAYS)
def test_sent_by(way: str) -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            connection.make_writer(True).write(b"one ")
            WAYS[way](connection)
            let_others_run()
            assert receive_exactly(client, 7) == b"one two"

    run(main)


@pytest.mark.parametrize("way", ["send", "sendall", "a file", "another writer", "sendfile"])
def test_sent_encrypted_by(way: str, certificates: Certificates) -> None:
    def main() -> None:
        with green_tls_pair(certificates) as (connection, client):
            connection.make_writer(True).write(b"one ")
            WAYS[way](connection)
            let_others_run(2)
            assert Background(receive_exactly, client, 7).result() == b"one two"

    run(main)


def test_with_the_descriptor_known_nothing_is_collected() -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            writer = connection.make_writer(True)
            descriptor = writer.fileno()
            writer.write(b"one ")
            os.write(descriptor, b"two")
            assert receive_exactly(client, 7) == b"one two"

    run(main)


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_shut_down(how: int) -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            connection.make_writer(True).write(b"one")
            connection.shutdown(how)
            assert receive_exactly(client, 3) == b"one"
            assert client.recv(1) == b""

    run(main)


def test_closed() -> None:
    def main() -> None:
        with green_pair() as (connection, client):
            connection.make_writer(True).write(b"one")
            connection.close()
            assert receive_exactly(client, 3) == b"one"
            assert client.recv(1) == b""

    run(main)


def test_closing_does_not_wait_for_what_another_greenlet_has_collected() -> None:
    def main() -> None:
        with unix_pair() as (connection, client):
            filled = fill(connection)

            def job() -> None:
                connection.make_writer(True).write(b"one")
                the_hub().park()

            the_hub().start(job)
            let_others_run()
            connection.close()
            receive_exactly(client, filled)
            assert client.recv(1) == b""
            let_others_run(2)  # the job's end

    run(main)
