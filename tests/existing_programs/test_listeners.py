"""Programs whose listener does not listen, and whose requests are no sockets."""

from __future__ import annotations

import queue
import socket
from typing import Any

import pytest

from doorkeep import socketserver
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.clients import connected_to
from tests.sample_handlers import Upper

LOOPBACK = ("127.0.0.1", 0)
TIMEOUT = 30


class TestConnecting:
    """A server that is a client: it connects in `server_activate`, and serves its only connection."""

    class Connecting(socketserver.ThreadingTCPServer):
        """Reads lines from a device and hands itself to the handler as often as there is one."""

        def server_bind(self) -> None:
            """Bind nothing."""

        def server_activate(self) -> None:
            self.socket.connect(self.server_address)

        def process_request(self, request: Any, client_address: Any) -> None:
            self.finish_request(request, client_address)

        def get_request(self) -> tuple[Any, Any]:
            return self.socket, self.socket.getpeername()

        def shutdown_request(self, request: Any) -> None:
            """Leave the connection open for the next."""

    def test_serves_its_own_socket(self) -> None:
        """Gateways that poll a device return `self.socket` from `get_request`, again and again."""

        class Answering(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(self.request.recv(100).upper())

        with socket.create_server(LOOPBACK) as device:
            device.settimeout(TIMEOUT)
            with self.Connecting(device.getsockname(), Answering) as server:
                connection, _ = device.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    loop = Background(server.serve_forever)
                    for question in (b"one", b"two", b"three"):
                        connection.sendall(question)
                        assert connection.recv(100) == question.upper()
                    server.shutdown()
                    loop.result()

    def test_ends_when_it_has_closed_its_own_socket(self) -> None:
        """With the standard `shutdown_request` the connection is closed, and there is no more to serve."""

        class Once(self.Connecting):  # type: ignore[misc,name-defined]  # a class of the test's own class
            def process_request(self, request: Any, client_address: Any) -> None:
                super().process_request(request, client_address)
                request.close()

        with socket.create_server(LOOPBACK) as device:
            device.settimeout(TIMEOUT)
            with Once(device.getsockname(), Upper) as server:
                connection, _ = device.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    connection.sendall(b"hello\n")
                    connection.shutdown(socket.SHUT_WR)
                    Background(server.serve_forever).result()
                    assert connection.recv(100) == b"HELLO\n"


def test_a_listener_that_never_listens(serve: Serve) -> None:
    """Programs that take connections from a queue have a bound socket and no `listen`; others wake their loop."""
    handed: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    class FromAQueue(socketserver.ThreadingTCPServer):
        def server_bind(self) -> None:
            self.socket.close()
            self.socket, self.bell = socket.socketpair()

        def server_activate(self) -> None:
            """Do not listen."""

        def get_request(self) -> tuple[Any, Any]:
            self.socket.recv(1)
            return handed.get(timeout=TIMEOUT), "from a queue"

        def server_close(self) -> None:
            super().server_close()
            self.bell.close()

    service = serve(FromAQueue, Upper)
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(TIMEOUT)
        handed.put(theirs)
        service.server.bell.send(b"!")
        ours.sendall(b"hello\n")
        assert ours.recv(100) == b"HELLO\n"


@pytest.mark.parametrize("mix_in", [(), (socketserver.ThreadingMixIn,)])
@pytest.mark.parametrize(
    ("request_", "client_address"),
    [
        (b"a message", ("127.0.0.1", 0)),
        ({"a": "message"}, "somewhere"),
        (["a", "message"], None),
        (7, ("somewhere", 1, 2)),
        (None, ("", 0)),
        (Ellipsis, ()),
    ],
    ids=repr,
)
def test_a_request_that_is_no_socket(mix_in: tuple[type, ...], request_: Any, client_address: Any) -> None:
    """Programs return messages from `get_request`, and addresses of any form."""
    handled: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()

    class Messages(*mix_in, socketserver.TCPServer):  # type: ignore[misc]  # bases that are known only now
        def get_request(self) -> tuple[Any, Any]:
            super().get_request()[0].close()
            return request_, client_address

        def shutdown_request(self, request: Any) -> None:
            self.close_request(request)

        def close_request(self, request: Any) -> None:
            """There is nothing to close."""

    def handler(request: Any, client_address: Any, server: Any) -> None:
        handled.put((request, client_address))

    with Messages(LOOPBACK, handler) as server:
        loop = Background(server.serve_forever)
        for _ in range(2):
            with connected_to(server):
                assert handled.get(timeout=TIMEOUT) == (request_, client_address)
        server.shutdown()
        loop.result()
    assert server.stats().failed == 0


def test_the_attribute_timeout_is_the_programs_own(serve: Serve) -> None:
    """Programs keep a timeout for their handlers in `server.timeout`, and any value of it is theirs."""

    class Telling(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(str(self.server.timeout).encode())

    service = serve(socketserver.ThreadingTCPServer, Telling)
    service.server.timeout = (3, 5)  # type: ignore[assignment]  # as programs do
    assert service.exchange(b"") == b"(3, 5)"
