"""Programs that make their servers in parts, in another order, or with other sockets."""

from __future__ import annotations

import os
import queue
import socket
import weakref
from pathlib import Path
from typing import Any

import pytest

from doorkeep import socketserver
from doorkeep.testing import no_leaks
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.background import Background
from tests.clients import connected_to
from tests.connection.certificates import Certificates
from tests.sample_handlers import Upper, UpperDatagram

LOOPBACK = ("127.0.0.1", 0)
# With the private names that programs use, and type checkers forbid.
MODULE: Any = socketserver


class TestBaseServerAlone:
    """`BaseServer.__init__`, called without that of `TCPServer`."""

    @pytest.mark.parametrize("mix_in", [(), (socketserver.ThreadingMixIn,), (socketserver.ForkingMixIn,)])
    def test_with_a_listener_from_elsewhere(self, serve: Serve, mix_in: tuple[type, ...]) -> None:
        """Programs that are handed a listener call the constructor of `BaseServer` and assign `socket`."""

        def made(address: Any, handler: Any) -> Any:
            server_class: Any = type("FromElsewhere", (*mix_in, socketserver.TCPServer), {})
            server = server_class.__new__(server_class)
            socketserver.BaseServer.__init__(server, address, handler)
            server.socket = socket.create_server(address)
            server.server_address = server.socket.getsockname()
            return server

        assert serve(made, Upper).exchange(b"hello\n") == b"HELLO\n"

    def test_with_a_socket_for_datagrams(self, serve: Serve) -> None:
        """The same for multicast, whose socket takes more than `bind`."""

        class Multicast(socketserver.UDPServer):
            def __init__(self, address: Any, handler: Any) -> None:
                socketserver.BaseServer.__init__(self, address, handler)
                self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.server_bind()

        assert serve(Multicast, UpperDatagram).exchange(b"hello") == b"HELLO"

    def test_with_no_socket_at_all(self) -> None:
        """Programs serve what comes from a pipe or a device: there is a `fileno`, and no `socket`."""
        reader, writer = os.pipe()
        handled: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()

        class FromAPipe(socketserver.BaseServer):
            descriptor = reader

            def fileno(self) -> int:
                return self.descriptor

            def get_request(self) -> tuple[Any, Any]:
                return os.read(self.descriptor, 100), None

            def server_close(self) -> None:
                os.close(self.descriptor)
                self.descriptor = -1

        def handler(request: Any, client_address: Any, server: Any) -> None:
            handled.put((request, client_address))

        with FromAPipe("a pipe", handler) as server:
            loop = Background(server.serve_forever)
            for line in (b"one", b"two"):
                os.write(writer, line)
                assert handled.get(timeout=30) == (line, None)
            server.shutdown()
            loop.result()
            assert server.server_address == "a pipe"
        os.close(writer)


class TestAttributes:
    """Class attributes that programs set somewhere else."""

    def test_set_before_the_constructor(self, serve: Serve) -> None:
        """Constructors of programs set attributes on the instance before they call ours."""

        class Own(socketserver.ThreadingTCPServer):
            def __init__(self, *arguments: Any) -> None:
                self.allow_reuse_address = True
                self.daemon_threads = True
                self.address_family = socket.AF_INET6
                super().__init__(*arguments)

        if not socket.has_ipv6:
            prerequisites.lack("there is no IPv6")
        service = serve(Own, Upper, ("::1", 0))
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert service.server.socket.family == socket.AF_INET6
        assert service.server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert (service.server.allow_reuse_address, service.server.daemon_threads) == (True, True)
        assert not list(service.server._threads)  # they are daemons

    def test_set_between_construction_and_bind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Programs construct unbound, set attributes and socket options, then bind and activate by themselves."""
        backlogs: list[int] = []
        monkeypatch.setattr(socket.socket, "listen", lambda self, backlog: backlogs.append(backlog))
        with socketserver.TCPServer(LOOPBACK, Upper, bind_and_activate=False) as server:
            server.allow_reuse_address = True
            server.request_queue_size = 3
            server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            server.server_bind()
            server.server_activate()
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert backlogs == [3]

    def test_assigned_on_the_modules_own_classes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Programs assign to `TCPServer` itself after the import, and mean the servers that they make later."""
        backlogs: list[int] = []
        monkeypatch.setattr(socket.socket, "listen", lambda self, backlog: backlogs.append(backlog))
        monkeypatch.setattr(socketserver.TCPServer, "request_queue_size", 7)
        monkeypatch.setattr(socketserver.TCPServer, "allow_reuse_address", True)
        with socketserver.ThreadingTCPServer(LOOPBACK, Upper) as server:
            assert backlogs == [7]
            assert server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)

    @pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
    def test_the_family_assigned_on_the_modules_own_class(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`TCPServer.address_family = AF_INET6` is the usual way to IPv6."""
        monkeypatch.setattr(socketserver.TCPServer, "address_family", socket.AF_INET6)
        with socketserver.TCPServer(("localhost", 0), Upper, bind_and_activate=False) as server:
            assert server.socket.family == socket.AF_INET6

    def test_of_a_mix_in_are_read_at_use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Programs assign to `ThreadingMixIn` while servers are there."""
        with socketserver.ThreadingTCPServer(LOOPBACK, socketserver.BaseRequestHandler) as server:
            monkeypatch.setattr(socketserver.ThreadingMixIn, "block_on_close", False)
            with connected_to(server) as client:
                server.handle_request()
                assert client.recv(1) == b""
            assert isinstance(server._threads, MODULE._NoThreads)


class TestAnotherSocket:
    """`server.socket`, replaced by the program."""

    @pytest.mark.parametrize("wait", ["handle_request", "serve_forever"])
    def test_by_a_tls_listener_after_construction(self, tmp_path: Path, wait: str) -> None:
        """The usual way to TLS: `server.socket = context.wrap_socket(server.socket, server_side=True)`."""
        prerequisites.module("trustme")
        certificates = Certificates(tmp_path)
        with socketserver.ThreadingTCPServer(LOOPBACK, Upper) as server:
            server.socket = certificates.server_context().wrap_socket(server.socket, server_side=True)
            serving = Background(getattr(server, wait))
            with certificates.connect(server.server_address) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
            server.shutdown()
            serving.result()

    def test_in_server_bind(self, serve: Serve) -> None:
        """Programs make their own socket in `server_bind`, and close ours."""

        class Own(socketserver.ThreadingTCPServer):
            def server_bind(self) -> None:
                self.socket.close()
                self.socket = socket.socket()
                super().server_bind()

        assert serve(Own, Upper).exchange(b"hello\n") == b"HELLO\n"

    def test_from_a_descriptor_after_server_close(self, serve: Serve) -> None:
        """Under systemd programs close the socket of the constructor and make one of an inherited descriptor."""

        def inherited(address: Any, handler: Any) -> socketserver.ThreadingTCPServer:
            descriptor = socket.create_server(address).detach()
            server = socketserver.ThreadingTCPServer(address, handler, bind_and_activate=False)
            server.server_close()
            server.socket = socket.socket(fileno=descriptor)
            server.server_address = server.socket.getsockname()
            return server

        service = serve(inherited, Upper)
        for _ in range(3):
            assert service.exchange(b"hello\n") == b"HELLO\n"

    def test_leaves_the_one_before_it_to_the_program(self) -> None:
        """Programs count on being the only owner of a socket that they took away."""
        with socketserver.TCPServer(LOOPBACK, Upper) as server:
            before = weakref.ref(server.socket)
            server.socket.close()
            server.socket = socket.create_server(LOOPBACK)
            assert before() is None


class TestFailedConstruction:
    """A constructor that fails closes its socket, though somebody may still hold the server."""

    @pytest.mark.parametrize("step", ["server_bind", "server_activate"])
    def test_closes_the_socket(self, step: str) -> None:
        """Programs try one port after the other until one is free."""
        failed: list[Any] = []

        def fail(server: Any) -> None:
            failed.append(server)
            raise PermissionError("not this one")

        server_class = type("Failing", (socketserver.ThreadingTCPServer,), {step: fail})
        with pytest.raises(PermissionError, match="not this one"):
            server_class(LOOPBACK, Upper)
        assert failed[0].fileno() == -1

    def test_calls_server_close(self) -> None:
        """Subclasses free there what they took in `server_bind`."""
        calls: list[str] = []

        class Freeing(socketserver.TCPServer):
            def server_activate(self) -> None:
                raise PermissionError

            def server_close(self) -> None:
                calls.append("server_close")
                super().server_close()

        with pytest.raises(PermissionError):
            Freeing(LOOPBACK, Upper)
        assert calls == ["server_close"]

    def test_a_thousand_times(self) -> None:
        """Programs try to bind until the port is free, with the errors still at hand."""
        errors: list[OSError] = []
        with socket.create_server(LOOPBACK) as taken, no_leaks():
            for _ in range(1100):
                try:
                    socketserver.TCPServer(taken.getsockname(), Upper)
                except OSError as error:
                    errors.append(error)
            assert len(errors) == 1100


def test_the_constructor_takes_positional_arguments() -> None:
    """Programs hand on what they got: `TCPServer.__init__(self, address, handler, False)`."""

    class Handing(socketserver.ThreadingMixIn, socketserver.TCPServer):
        def __init__(self, *arguments: Any) -> None:
            socketserver.TCPServer.__init__(self, *arguments)

    with Handing(LOOPBACK, Upper, False) as server:
        assert server.server_address == LOOPBACK
        assert server.fileno() >= 0
