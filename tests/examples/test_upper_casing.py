"""The upper-casing servers and their clients."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

from tests.examples.programs import Program, connect, run

ANSWER = "Sent:     Hello World\nReceived: HELLO WORLD\n"


def test_tcp() -> None:
    with Program("tcp_server.py", "--port", 0) as server:
        port = server.port()
        assert run("tcp_client.py", "--port", port, "Hello", "World") == ANSWER
        assert run("tcp_client.py", "--port", port, "once more").endswith("ONCE MORE\n")


def test_tcp_answers_each_line_however_it_comes() -> None:
    with Program("tcp_server.py", "--port", 0) as server, connect(server.port()) as connection:
        for piece in (b"on", b"e\ntwo\nth", b"ree\n"):
            connection.sendall(piece)
        with connection.makefile("rb") as answers:
            assert [answers.readline() for _ in range(3)] == [b"ONE\n", b"TWO\n", b"THREE\n"]


def test_udp() -> None:
    with Program("udp_server.py", "--port", 0) as server:
        assert run("udp_client.py", "--port", server.port(), "Hello", "World") == ANSWER


def test_unix_stream(tmp_path: Path) -> None:
    path = tmp_path / "stream.sock"
    with Program("unix_stream_server.py", "--path", path) as server:
        server.wait_for(f"Listening at {path}")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert run("unix_stream_client.py", "--path", path, "Hello", "World") == ANSWER


def test_unix_datagram(tmp_path: Path) -> None:
    path = tmp_path / "datagram.sock"
    with Program("unix_datagram_server.py", "--path", path) as server:
        server.wait_for(f"Listening at {path}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as without_address:
            without_address.sendto(b"answer me not", str(path))
        assert run("unix_datagram_client.py", "--path", path, "Hello", "World") == ANSWER


def test_unix_server_starts_again_where_one_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "stream.sock"
    for _ in range(2):
        with Program("unix_stream_server.py", "--path", path) as server:
            server.wait_for("Listening at")
            assert run("unix_stream_client.py", "--path", path, "Hello", "World") == ANSWER
        assert path.is_socket()
