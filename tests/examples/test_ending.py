"""What holds for all examples: each is described, and each server ends by Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.examples.programs import EXAMPLES, Program, connect, run

TCP_SERVERS = (
    "tcp_server.py",
    "forking_tcp_server.py",
    "verify_request.py",
    "chat_room.py",
    "file_transfer/server.py",
)
UDP_SERVERS = ("udp_server.py", "forking_udp_server.py", "threading_udp_server.py")
UNIX_SERVERS = ("unix_stream", "unix_datagram")


# Each has served a client by the time of the signal: one that comes earlier may meet the program half set up.


@pytest.mark.parametrize("name", TCP_SERVERS)
def test_ctrl_c_ends_a_tcp_server_although_a_client_stays(name: str) -> None:
    with Program(name, "--port", 0, ended_by=signal.SIGINT) as server, connect(server.port()) as connection:
        connection.sendall(b"hello\n")
        assert connection.recv(100) != b""
        server.end()


@pytest.mark.parametrize("name", UDP_SERVERS)
def test_ctrl_c_ends_a_udp_server(name: str) -> None:
    with Program(name, "--port", 0, ended_by=signal.SIGINT) as server:
        assert "HELLO" in run("udp_client.py", "--port", server.port(), "hello")


@pytest.mark.parametrize("kind", UNIX_SERVERS)
def test_ctrl_c_ends_a_unix_server(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with Program(f"{kind}_server.py", "--path", path, ended_by=signal.SIGINT) as server:
        server.wait_for("Listening at")
        assert "HELLO" in run(f"{kind}_client.py", "--path", path, "hello")


def test_read_me_names_each_program() -> None:
    described = (EXAMPLES / "README.md").read_text()
    programs = [path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.py")]
    assert len(programs) > 20
    assert [str(path) for path in programs if f"]({path})" not in described] == []
