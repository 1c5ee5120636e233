"""Programs with a loop of their own, or with a hand in that of the server."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from doorkeep import socketserver
from doorkeep.events import ServerStarted
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Gate, Upper

LOOPBACK = ("127.0.0.1", 0)
OFTEN = 0.01
# With the private names that programs use, and type checkers forbid.
MODULE: Any = socketserver


class TestTheFlag:
    """`_BaseServer__shutdown_request`, which programs set to end the loop without waiting for it."""

    @pytest.mark.parametrize("server_class", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
    def test_set_by_a_handler(self, server_class: type[socketserver.TCPServer]) -> None:
        """Programs that serve until one request has told them to end set it in the handler."""

        class Last(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.server._BaseServer__shutdown_request = True
                self.request.sendall(b"that was all")

        with server_class(LOOPBACK, Last) as server, connected_to(server) as client:
            Background(server.serve_forever, OFTEN).result()
            assert client.recv(100) == b"that was all"

    def test_set_by_a_signal_handler(self) -> None:
        """Daemons set it on SIGTERM, where `shutdown` of the standard library would wait for itself."""
        with socketserver.TCPServer(LOOPBACK, Upper) as server:

            def end(number: int, frame: FrameType | None) -> None:
                server._BaseServer__shutdown_request = True

            def interrupt() -> None:
                events.wait_for(ServerStarted)
                os.kill(os.getpid(), signal.SIGUSR1)

            before = signal.signal(signal.SIGUSR1, end)
            try:
                with events_of(ServerStarted) as events:
                    killer = Background(interrupt)
                    server.serve_forever(OFTEN)
                    killer.result()
            finally:
                signal.signal(signal.SIGUSR1, before)
            assert not server._BaseServer__shutdown_request


class OwnLoop(socketserver.ThreadingTCPServer):
    """Has the loop that many programs have copied from the standard library and changed."""

    def serve_forever(self, poll_interval: float = OFTEN) -> None:
        self.__dict__["_BaseServer__is_shut_down"].clear()
        try:
            while not self.__dict__["_BaseServer__shutdown_request"]:
                readable, _, _ = select.select([self], [], [], poll_interval)
                if readable:
                    self._handle_request_noblock()
                self.service_actions()
        finally:
            self._BaseServer__shutdown_request = False
            self.__dict__["_BaseServer__is_shut_down"].set()


class TestIsShutDown:
    """`_BaseServer__is_shut_down`, the event that programs clear and set around a loop of their own."""

    def test_around_a_loop_of_the_programs_own(self) -> None:
        """Programs override `serve_forever` and leave `shutdown` as it is."""
        with OwnLoop(LOOPBACK, Upper) as server:
            loop = Background(server.serve_forever)
            with connected_to(server) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
                Background(server.shutdown).result()
                loop.result()
            assert server.__dict__["_BaseServer__is_shut_down"].is_set()

    def test_is_an_event_that_others_wait_for(self) -> None:
        """Programs ask, and wait for, the end of the loop by the event."""
        with socketserver.TCPServer(LOOPBACK, Upper) as server, events_of(ServerStarted) as events:
            loop = Background(server.serve_forever)
            events.wait_for(ServerStarted)
            event = vars(server)["_BaseServer__is_shut_down"]
            assert isinstance(event, threading.Event)
            assert not event.is_set()
            Background(server.shutdown).result()
            assert event.wait(30)
            loop.result()

    def test_replaced_on_the_class(self) -> None:
        """Tests put an event of their own in its place for all servers of a class."""
        event = threading.Event()

        class Replaced(socketserver.TCPServer):
            _BaseServer__is_shut_down = property(lambda self: event, lambda self, value: None)

        with Replaced(LOOPBACK, Upper) as server, events_of(ServerStarted) as events:
            loop = Background(server.serve_forever)
            events.wait_for(ServerStarted)
            assert not event.is_set()
            Background(server.shutdown).result()
            loop.result()
            assert event.is_set()


class TestHandleRequestNoblock:
    """`_handle_request_noblock`, the step that loops of glib, epoll and timers call for each client."""

    def test_waits_for_a_client_if_none_is_there(self) -> None:
        """Loops that know better call it with no select before it: it blocks in accept."""
        with socketserver.TCPServer(LOOPBACK, Upper) as server:
            step = Background(server._handle_request_noblock)
            with connected_to(server) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"HELLO\n"
                client.close()
                step.result()

    @pytest.mark.parametrize("server_class", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
    def test_takes_one_client_a_call(self, server_class: type[socketserver.TCPServer]) -> None:
        """Foreign loops register `fileno()` and call it once each time that it is readable."""
        with server_class(LOOPBACK, socketserver.BaseRequestHandler) as server, select.epoll() as poll:
            poll.register(server.fileno(), select.EPOLLIN)
            clients = [connected_to(server) for _ in range(3)]
            for taken in (1, 2, 3):
                assert poll.poll(30) == [(server.fileno(), select.EPOLLIN)]
                server._handle_request_noblock()
                assert server.stats().accepted == taken
            assert poll.poll(0) == []
            for client in clients:
                assert client.recv(1) == b""
                client.close()

    def test_overridden_in_a_class(self, serve: Serve) -> None:
        """Subclasses wrap it, and see each client go through it."""
        calls: list[bool] = []

        class Wrapping(socketserver.ThreadingTCPServer):
            def _handle_request_noblock(self) -> None:
                calls.append(True)
                super()._handle_request_noblock()

        service = serve(Wrapping, Upper)
        for _ in range(3):
            assert service.exchange(b"hello\n") == b"HELLO\n"
        assert len(calls) == 3

    def test_replaced_on_an_instance_that_serves(self, serve: Serve) -> None:
        """Programs wrap it on the one server that they have, also when it is serving already."""
        calls: list[bool] = []
        service = serve(socketserver.ThreadingTCPServer, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        original = service.server._handle_request_noblock

        def wrapping() -> None:
            calls.append(True)
            original()

        service.server._handle_request_noblock = wrapping  # type: ignore[method-assign]  # as programs do
        turned = threading.Event()
        service.server.service_actions = turned.set  # type: ignore[method-assign]  # called as the turn ends
        assert turned.wait(30)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert calls == [True]

    def test_patched_on_the_modules_own_class(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tracing packages patch `BaseServer` itself, so that every server of the process is seen."""
        calls: list[object] = []
        original = socketserver.BaseServer._handle_request_noblock

        def traced(server: socketserver.BaseServer) -> None:
            calls.append(server)
            original(server)

        monkeypatch.setattr(socketserver.BaseServer, "_handle_request_noblock", traced)
        service = serve(socketserver.ThreadingTCPServer, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert calls == [service.server]


class TestNamesOfTheModule:
    def test_the_selector_is_subclassed(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """Programs derive from `_ServerSelector` and put theirs in its place."""
        registered: list[object] = []

        class Selector(MODULE._ServerSelector):  # type: ignore[misc]  # it depends on the system
            def register(self, fileobj: Any, events: int, data: Any = None) -> Any:
                registered.append(fileobj)
                return super().register(fileobj, events, data)

        monkeypatch.setattr(socketserver, "_ServerSelector", Selector)
        service = serve(socketserver.TCPServer, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert service.server in registered

    def test_its_os_is_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tests hand the module an `os` whose `fork` tells that this is the child, or fails."""

        def fork() -> int:
            raise OSError("no fork today")

        failures: list[str] = []

        class Noting(socketserver.ForkingTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                failures.append(str(sys.exc_info()[1]))

        monkeypatch.setattr(socketserver, "os", SimpleNamespace(**{**vars(os), "fork": fork}))
        with Noting(LOOPBACK, Upper) as server, connected_to(server):
            server.handle_request()
        assert failures == ["no fork today"]


class TestThreads:
    """`_threads`, which programs iterate over and join."""

    def test_are_joined_one_by_one(self) -> None:
        """Tests join each thread of `_threads`, so as to know that all requests have been handled."""
        gate = Gate()
        with socketserver.ThreadingTCPServer(LOOPBACK, gate) as server, connected_to(server), connected_to(server):
            server.handle_request()
            server.handle_request()
            gate.wait_entered(2)
            threads = list(server._threads)
            assert len(threads) == 2
            assert all(thread.is_alive() for thread in threads)
            gate.open()
            for thread in server._threads:
                thread.join(30)
            assert not any(thread.is_alive() for thread in threads)
            assert server.stats().active == 0

    def test_are_joined_together(self) -> None:
        """Programs call `_threads.join()`, also before there has been a request."""
        handled: list[object] = []

        def handler(*arguments: object) -> None:
            handled.append(arguments)

        with socketserver.ThreadingTCPServer(LOOPBACK, handler) as server, connected_to(server):
            assert isinstance(server._threads, MODULE._NoThreads)
            server._threads.join()
            server.handle_request()
            server._threads.join()
            assert len(handled) == 1
            assert not any(thread.is_alive() for thread in server._threads)


def test_children_are_taken_note_of_by_service_actions() -> None:
    """Foreign loops call `service_actions` now and then, as `serve_forever` does."""
    with socketserver.ForkingTCPServer(LOOPBACK, socketserver.BaseRequestHandler) as server:
        with connected_to(server) as client:
            server._handle_request_noblock()
            assert len(server.active_children or ()) == 1
            assert client.recv(1) == b""

        def reaped() -> bool:
            server.service_actions()
            return not server.active_children

        assert eventually(reaped)
