"""The servers that answer side by side."""

from __future__ import annotations

import re

from tests.examples.programs import Program, connect, run


def test_threads_with_the_clients_within() -> None:
    lines = run("threading_server.py").splitlines()
    assert re.fullmatch(r"Listening on port [1-9]\d*", lines[0])
    assert re.fullmatch(r"Serving in Thread-\d+ \(serve_forever\)", lines[1])
    for number, line in enumerate(lines[2:], start=1):
        assert re.fullmatch(rf"Thread-\d+ \(process_request_thread\): Hello World {number}", line)
    assert len(lines) == 5


def test_udp_in_threads() -> None:
    with Program("threading_udp_server.py", "--port", 0) as server:
        answer = run("udp_client.py", "--port", server.port(), "hello")
    assert re.search(r"Received: Thread-\d+ \(process_request_thread\): HELLO\n", answer)


def test_tcp_in_processes_side_by_side() -> None:
    with Program("forking_tcp_server.py", "--port", 0) as server:
        port = server.port()
        with connect(port) as first, connect(port) as second:
            pids = {server.process.pid}
            for connection in (second, first):
                connection.sendall(b"hello\n")
                with connection.makefile("rb") as answers:
                    found = re.fullmatch(rb"process (\d+): HELLO\n", answers.readline())
                assert found is not None
                pids.add(int(found[1]))
        assert len(pids) == 3


def test_forking_server_ends_although_a_client_stays() -> None:
    with Program("forking_tcp_server.py", "--port", 0) as server, connect(server.port()) as connection:
        connection.sendall(b"hello\n")
        assert b"HELLO" in connection.recv(100)
        server.end()
        assert connection.recv(100) == b""


def test_udp_in_processes() -> None:
    with Program("forking_udp_server.py", "--port", 0) as server:
        answer = run("udp_client.py", "--port", server.port(), "hello")
        found = re.search(r"Received: process (\d+): HELLO\n", answer)
        assert found is not None
        assert int(found[1]) != server.process.pid
