"""Calls with `MSG_DONTWAIT`: they fail where they would wait, unless the socket has a timeout, which comes first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doorkeep.green import run
from tests.green.channels import fill, unix_pair

pytestmark = pytest.mark.usefixtures("poller")

NO_WAIT = socket.MSG_DONTWAIT
CALLS: dict[str, Callable[[Any], object]] = {
    "recv": lambda connection: connection.recv(9, NO_WAIT),
    "recv_into": lambda connection: connection.recv_into(bytearray(9), 0, NO_WAIT),
    "recvfrom": lambda connection: connection.recvfrom(9, NO_WAIT),
    "recvfrom_into": lambda connection: connection.recvfrom_into(bytearray(9), 0, NO_WAIT),
    "recvmsg": lambda connection: connection.recvmsg(9, 0, NO_WAIT),
    "recvmsg_into": lambda connection: connection.recvmsg_into([bytearray(9)], 0, NO_WAIT),
    "send": lambda connection: connection.send(b"full", NO_WAIT),
    "sendall": lambda connection: connection.sendall(b"full", NO_WAIT),
    "sendmsg": lambda connection: connection.sendmsg([b"full"], [], NO_WAIT),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("seconds", "error"), [(None, BlockingIOError), (0.01, TimeoutError)])
def test_where_there_is_nothing_and_no_room(call: str, seconds: float | None, error: type[OSError]) -> None:
    def main() -> None:
        with unix_pair() as (connection, _):
            fill(connection)
            connection.settimeout(seconds)
            with pytest.raises(error):
                CALLS[call](connection)

    run(main)


@pytest.mark.parametrize(("seconds", "error"), [(None, BlockingIOError), (0.01, TimeoutError)])
def test_datagrams_where_there_is_no_room(tmp_path: Path, seconds: float | None, error: type[OSError]) -> None:
    def main() -> None:
        address = str(tmp_path / "socket")
        with unix_pair(socket.SOCK_DGRAM) as (connection, _), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
            full.bind(address)
            connection.connect(address)
            fill(connection)
            connection.settimeout(seconds)
            with pytest.raises(error):
                connection.sendto(bytes(1 << 16), NO_WAIT, address)

    run(main)
