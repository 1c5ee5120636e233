"""`shutdown` ends the loop at once, whoever calls it and whenever; `server_close` and exceptions end it too.

The loops here look up every 60 seconds only: one that ends sooner was woken.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import pytest

from doorkeep import (
    BaseRequestHandler,
    BaseServer,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadPoolTCPServer,
    UDPServer,
)
from doorkeep.events import ServerStarted, ServerStopped
from doorkeep.testing import Recorder, events_of
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Gate, Held, Upper, UpperDatagram

SELDOM = 60.0
EVERY_CLASS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer, ForkingTCPServer, UDPServer]

ServerType = TypeVar("ServerType", bound=BaseServer)


@contextmanager
def started(server: ServerType) -> Iterator[Background[None]]:
    """Yield the running `serve_forever` of a server, once it has begun."""
    with server:
        with events_of(ServerStarted) as events:
            loop = Background(server.serve_forever, SELDOM)
            events.wait_for(ServerStarted)
        yield loop
        Background(server.shutdown).result()
        loop.result()


class TestShutdown:
    @pytest.mark.parametrize("server_class", EVERY_CLASS)
    def test_while_serving(self, server_class: type[TCPServer]) -> None:
        server = server_class(("127.0.0.1", 0), Upper)
        with started(server) as loop:
            Background(server.shutdown).result()
            loop.result()

    def test_returns_after_the_loop_has_ended(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        with events_of(ServerStopped) as events, started(server) as loop:
            Background(server.shutdown).result()
            assert server._BaseServer__is_shut_down.is_set()  # type: ignore[attr-defined]  # known to programs
            loop.result()
            events.wait_for(ServerStopped)

    def test_before_serving_ends_the_next_loop(self) -> None:
        with TCPServer(("127.0.0.1", 0), Upper) as server:
            Background(server.shutdown).result()
            Background(server.serve_forever, SELDOM).result()

    def test_after_serving_does_nothing(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        with started(server) as loop:
            Background(server.shutdown).result()
            loop.result()
            Background(server.shutdown).result()

    def test_after_closing_does_nothing(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        with started(server) as loop:
            server.server_close()
            loop.result()
            Background(server.shutdown).result()

    def test_several_threads_at_once(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        with started(server):
            for shutdown in [Background(server.shutdown) for _ in range(8)]:
                shutdown.result()

    @pytest.mark.parametrize("server_class", [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer])
    def test_from_a_handler(self, server_class: type[TCPServer]) -> None:
        class Last(StreamRequestHandler):
            def handle(self) -> None:
                self.server.shutdown()
                self.wfile.write(b"that was all\n")

        server = server_class(("127.0.0.1", 0), Last)
        with started(server) as loop, connected_to(server) as client:
            assert client.makefile("rb").read() == b"that was all\n"
            loop.result()

    def test_from_service_actions(self) -> None:
        class Once(TCPServer):
            def service_actions(self) -> None:
                self.shutdown()

        with Once(("127.0.0.1", 0), Upper) as server:
            Background(server.serve_forever, 0.001).result()

    def test_from_a_signal_handler(self) -> None:
        """The handler runs in the thread that serves, in the middle of its wait."""
        server = TCPServer(("127.0.0.1", 0), Upper)

        def end(number: int, frame: FrameType | None) -> None:
            server.shutdown()

        def interrupt(events: Recorder) -> bool:
            events.wait_for(ServerStarted)
            # More than once: Python calls the handler late if the signal comes just before the wait begins.
            return eventually(functools.partial(interrupted, events))

        def interrupted(events: Recorder) -> bool:
            os.kill(os.getpid(), signal.SIGUSR1)
            return bool(events.of(ServerStopped))

        before = signal.signal(signal.SIGUSR1, end)
        try:
            with server, events_of(ServerStarted, ServerStopped) as events:
                killer = Background(interrupt, events)
                server.serve_forever(SELDOM)
                assert killer.result()
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_does_not_wait_for_requests(self) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), Held)
        with started(server) as loop, connected_to(server) as client:
            assert client.recv(3) == b"in\n"
            Background(server.shutdown).result()
            loop.result()
            assert server.stats().active == 1

    def test_while_a_burst_of_clients_waits(self) -> None:
        """The requests of one turn of the loop are not all taken in first."""
        gate = Gate()
        server = TCPServer(("127.0.0.1", 0), gate)
        with started(server):
            clients = [connected_to(server) for _ in range(5)]
            gate.wait_entered()
            ending = Background(server.shutdown)
            assert eventually(lambda: server._BaseServer__shutdown_request)  # type: ignore[attr-defined]  # the flag
            gate.open()
            ending.result()
            assert server.stats().accepted == 1
            for client in clients:
                client.close()

    def test_while_the_server_is_full(self) -> None:
        gate = Gate()
        server = ThreadPoolTCPServer(("127.0.0.1", 0), gate, pool_size=1)
        with started(server) as loop, connected_to(server), connected_to(server):
            gate.wait_entered()
            Background(server.shutdown).result()
            loop.result()
            assert server.stats().accepted == 1
            gate.open()


class TestServingAgain:
    @pytest.mark.parametrize("server_class", EVERY_CLASS)
    def test_after_shutdown(self, server_class: type[TCPServer]) -> None:
        server = server_class(("127.0.0.1", 0), UpperDatagram if server_class is UDPServer else Upper)
        with started(server) as loop:
            Background(server.shutdown).result()
            loop.result()
            with events_of(ServerStarted) as events:
                again = Background(server.serve_forever, SELDOM)
                events.wait_for(ServerStarted)
            with connected_to(server) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
            Background(server.shutdown).result()
            again.result()

    def test_a_shutdown_before_the_first_counts_once(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        server.shutdown()
        Background(server.serve_forever, SELDOM).result()
        with started(server), connected_to(server) as client:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"HELLO\n"

    def test_clients_that_came_between_are_served(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        with connected_to(server) as client:
            client.sendall(b"early\n")
            client.shutdown(socket.SHUT_WR)
            with started(server):
                assert client.recv(100) == b"EARLY\n"

    def test_the_constructor_may_run_again_after_the_end(self) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), Upper)
        with started(server):
            pass
        ThreadingTCPServer.__init__(server, ("127.0.0.1", 0), Upper)
        with started(server), connected_to(server) as client:
            client.sendall(b"hello\n")
            assert client.recv(100) == b"HELLO\n"


class TestServerClose:
    @pytest.mark.parametrize("server_class", EVERY_CLASS)
    def test_while_serving_ends_the_loop(self, server_class: type[TCPServer]) -> None:
        server = server_class(("127.0.0.1", 0), Upper)
        with started(server) as loop:
            Background(server.server_close).result()
            loop.result()

    def test_from_a_handler(self) -> None:
        class Closing(StreamRequestHandler):
            def handle(self) -> None:
                self.server.server_close()
                self.wfile.write(b"closed\n")

        server = TCPServer(("127.0.0.1", 0), Closing)
        with started(server) as loop, connected_to(server) as client:
            assert client.recv(100) == b"closed\n"
            loop.result()

    def test_may_call_shutdown(self) -> None:
        class ShuttingDown(ThreadingTCPServer):
            def server_close(self) -> None:
                self.shutdown()
                super().server_close()

        server = ShuttingDown(("127.0.0.1", 0), Upper)
        with started(server) as loop:
            Background(server.server_close).result()
            loop.result()

    def test_twice_is_harmless(self) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), Upper)
        server.server_close()
        server.server_close()
        assert server.fileno() == -1

    def test_leaves_the_address_readable(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        address = server.server_address
        server.server_close()
        assert server.server_address == address

    def test_refuses_clients_from_then_on(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        server.server_close()
        with pytest.raises(ConnectionRefusedError), socket.create_connection(server.server_address, 30):
            pytest.fail("connected to a closed server")


class TestExceptions:
    """`KeyboardInterrupt` and `SystemExit` leave the loop, which can run again."""

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize("where", ["get_request", "verify_request", "process_request", "handle", "service_actions"])
    def test_leave_the_loop(self, kind: type[BaseException], where: str) -> None:
        def fail(*_arguments: Any) -> None:
            raise kind

        handler = type("Handler", (BaseRequestHandler,), {"handle": fail} if where == "handle" else {})
        server_class = type("Server", (TCPServer,), {where: fail})
        with server_class(("127.0.0.1", 0), handler) as server:
            loop = Background(server.serve_forever, SELDOM)
            with connected_to(server), pytest.raises(kind):
                loop.result()
            Background(server.shutdown).result()
            assert server.stats().active == 0

    def test_leave_handle_request(self) -> None:
        class Interrupted(StreamRequestHandler):
            def handle(self) -> None:
                raise KeyboardInterrupt

        with TCPServer(("127.0.0.1", 0), Interrupted) as server, connected_to(server) as client:
            with pytest.raises(KeyboardInterrupt):
                server.handle_request()
            assert client.recv(1) == b""

    def test_the_loop_can_run_again(self) -> None:
        interrupts = iter([KeyboardInterrupt()])

        class Interrupted(Upper):
            def setup(self) -> None:
                for interrupt in interrupts:
                    raise interrupt
                super().setup()

        with TCPServer(("127.0.0.1", 0), Interrupted) as server:
            loop = Background(server.serve_forever, SELDOM)
            with connected_to(server), pytest.raises(KeyboardInterrupt):
                loop.result()
            with started(server), connected_to(server) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"


def test_the_flag_of_the_standard_library_ends_the_loop_at_its_next_turn() -> None:
    turned = threading.Event()

    class Flagged(TCPServer):
        def service_actions(self) -> None:
            if turned.is_set():
                self._BaseServer__shutdown_request = True
            turned.set()

    with Flagged(("127.0.0.1", 0), Upper) as server:
        Background(server.serve_forever, 0.001).result()
