"""Deadlines of connections that wait for a request, or for the rest of its head."""

from __future__ import annotations

import queue
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http import servers
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.background import eventually
from tests.http.echo import Echo, Handler, all_of, receive_until, statuses
from tests.http.encryption import encrypted
from tests.http.models import in_one_process, on_every_server

PIECES = [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"HEAD / HTTP/1.1\r\nHost: h\r\nX"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give handlers all the time that they need to answer late requests, on a slow machine too."""
    monkeypatch.setattr(servers, "LINGER", 30.0)


def answer_to_beginning(served: Served[Any], piece: bytes) -> bytes:
    """Return what a client receives whose request has begun before the server sees it, and never ends."""
    with beginning(served, piece) as client:
        return all_of(client)


def beginning(served: Served[Any], piece: bytes) -> Any:
    """Return a client whose request has begun before the server sees it."""
    server = served.server
    server.suspend()
    assert eventually(lambda: server._watch is not None and server._watch._reason == "suspended")
    client = served.connect()
    client.sendall(piece)
    server.resume()
    return client


def is_late(answer: bytes) -> bool:
    """Return whether an answer says that the request came too late, and nothing more."""
    head = answer.partition(b"\r\n\r\n")[0]
    return statuses(answer) == [408] and b"\r\nConnection: close\r\n" in head


class TestDeadlines:
    @on_every_server
    def test_a_slow_head_has_a_deadline(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    @on_every_server
    def test_where_nothing_comes_it_ends_without_an_answer(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        assert served.client.recv(100) == b""

    @on_every_server
    def test_the_head_of_a_further_request_has_one_too(self, serve: Serve, server_class: Any) -> None:
        class Hurries(Echo):
            def do_GET(self) -> None:
                super().do_GET()
                self.server.head_timeout = 0.1

        for piece in PIECES:
            client = serve(server_class, Hurries, head_timeout=60, keep_alive_timeout=0.1).client
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" + piece)
            first, found, second = all_of(client).partition(b"\r\n\r\nGET / ")
            assert statuses(first + found) == [200]
            assert is_late(second)

    @in_one_process
    def test_a_late_head_is_counted_once(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        assert is_late(answer_to_beginning(served, b"GET"))
        assert eventually(lambda: served.server.stats().active == 0)
        assert served.server.stats().expired == {"head_timeout": 1}

    @in_one_process
    def test_who_does_not_take_the_answer_is_cut(
        self, serve: Serve, server_class: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(servers, "LINGER", 0.1)
        failed: queue.Queue[BaseException] = queue.Queue()

        class Talks(Echo):
            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                        self.wfile.flush()
                except OSError as error:
                    failed.put(error)
                    raise

        served = serve(server_class, Talks, head_timeout=0.1)
        beginning(served, b"GET")
        assert isinstance(failed.get(timeout=30), ConnectionError)
        assert served.server.stats().expired == {"head_timeout": 1}

    @in_one_process
    def test_a_program_that_reads_the_head_itself(self, serve: Serve, server_class: Any) -> None:
        class Parses(Echo):
            def parse_request(self) -> bool:
                return super().parse_request()

        served = serve(server_class, Parses, head_timeout=0.1)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    @in_one_process
    def test_under_tls(self, serve: Serve, server_class: Any, tmp_path: Path) -> None:
        certificate, context = encrypted(tmp_path)
        served = serve(server_class, Echo, keep_alive_timeout=0.1, tls_certificate=certificate)
        for piece, expected in ((b"GET", [200, 408]), (b"", [200])):
            plain = served.connect()
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" + piece)
                assert statuses(all_of(client)) == expected  # and no error: the server says goodbye

    @on_every_server
    def test_an_idle_connection_has_a_deadline(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo, keep_alive_timeout=0.1).client
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive_until(client, b"GET / ")
        assert client.recv(1) == b""

    def test_a_handler_at_work_has_none(self, serve: Serve) -> None:
        begun, go_on = threading.Event(), threading.Event()

        class Works(Handler):
            def do_GET(self) -> None:
                begun.set()
                assert go_on.wait(30)
                self.answer(b"done")

        served = serve(ThreadingHTTPServer, Works, head_timeout=0.5, keep_alive_timeout=0.5)
        clients: list[socket.socket] = []
        while not clients or not begun.wait(2):  # again, where a slow machine has let the time of the head pass
            clients.append(served.connect())
            clients[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        # When one that came later is gone, this one would be, too.
        assert served.connect().recv(1) == b""
        go_on.set()
        assert any(all_of(client).endswith(b"done") for client in clients)


class TestTimeoutsOfHandlers:
    def test_a_timeout_closes(self, serve: Serve) -> None:
        told: list[str] = []

        class Hurries(Handler):
            timeout = 0.05

            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        served = serve(ThreadingHTTPServer, Hurries)
        assert served.client.recv(1) == b""
        assert len(told) == 1
        assert told[0].startswith("Request timed out: TimeoutError(")

    @on_every_server
    def test_a_timeout_of_the_handler_is_one_of_the_head(self, serve: Serve, server_class: Any) -> None:
        class Hurries(Echo):
            timeout = 0.1

        served = serve(server_class, Hurries)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    def test_a_timeout_within_the_first_line_that_is_not_looked_into(self, serve: Serve) -> None:
        """By lines alone it cannot be known that some of one has come."""

        class Hurries(Echo):
            timeout = 0.1

            def parse_request(self) -> bool:
                return super().parse_request()

        assert answer_to_beginning(serve(ThreadingHTTPServer, Hurries), b"GET") == b""
