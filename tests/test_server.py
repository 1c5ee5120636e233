"""The loop and the way of a request through it: which hook is called when, and what the loop does between."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from doorkeep import BaseServer, StreamRequestHandler, TCPServer, ThreadingTCPServer, UDPServer
from doorkeep.events import (
    ConnectionReady,
    ConnectionStarted,
    ConnectionStopped,
    ServerStarted,
    ServerStopped,
)
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.clients import connected_to
from tests.sample_handlers import Held, Upper, UpperDatagram

ON_ITS_WAY = ["get_request", "verify_request", "process_request", "finish_request"]
HANDLED = ["__init__", "setup", "handle", "finish"]
ENDED = ["shutdown_request", "close_request"]


def recording(base: type, names: list[str], calls: list[str]) -> Any:
    """Return a subclass of `base` that adds the name of each of these methods to `calls` when it is called."""

    def recorded(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any) -> Any:
            calls.append(name)
            return getattr(base, name)(self, *arguments)

        return method

    return type(f"Recording{base.__name__}", (base,), {name: recorded(name) for name in names})


class TestWayOfARequest:
    """Every step of a request is a method, called once and in this order."""

    def test_of_a_connection(self, serve: Serve) -> None:
        calls: list[str] = []
        service = serve(
            recording(TCPServer, ON_ITS_WAY + ENDED, calls), recording(StreamRequestHandler, HANDLED, calls)
        )
        service.exchange(b"")
        service.server.shutdown()
        assert calls == ON_ITS_WAY + HANDLED + ENDED

    def test_of_a_connection_in_a_thread(self, serve: Serve) -> None:
        calls: list[str] = []
        names = [*ON_ITS_WAY[:3], "process_request_thread", ON_ITS_WAY[3]]
        server_class = recording(ThreadingTCPServer, names + ENDED, calls)
        service = serve(server_class, recording(StreamRequestHandler, HANDLED, calls))
        service.exchange(b"")
        service.server.drain()
        assert calls == names + HANDLED + ENDED

    def test_of_a_datagram(self, serve: Serve) -> None:
        calls: list[str] = []
        service = serve(recording(UDPServer, ON_ITS_WAY + ENDED, calls), recording(UpperDatagram, HANDLED, calls))
        assert service.exchange(b"ping") == b"PING"
        service.server.shutdown()
        assert calls == ON_ITS_WAY + HANDLED + ENDED

    def test_of_a_refused_connection(self, serve: Serve) -> None:
        calls: list[str] = []

        class Refusing(TCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                return False

        service = serve(recording(Refusing, ON_ITS_WAY + ENDED, calls), recording(StreamRequestHandler, HANDLED, calls))
        assert service.exchange(b"hello") == b""
        service.server.shutdown()
        assert calls == [*ON_ITS_WAY[:2], *ENDED]
        assert service.server.stats().refused == {"verify": 1}

    def test_construction_binds_and_activates(self) -> None:
        calls: list[str] = []
        server_class = recording(TCPServer, ["server_bind", "server_activate", "server_close"], calls)
        with server_class(("127.0.0.1", 0), Upper):
            assert calls == ["server_bind", "server_activate"]
        assert calls[2:] == ["server_close"]

    def test_construction_may_leave_that_to_the_caller(self) -> None:
        calls: list[str] = []
        server_class = recording(TCPServer, ["server_bind", "server_activate"], calls)
        with server_class(("127.0.0.1", 0), Upper, bind_and_activate=False) as server:
            assert calls == []
            assert server.fileno() >= 0
            server.server_bind()
            server.server_activate()
            assert server.server_address[1] > 0

    def test_each_step_is_told(self, serve: Serve) -> None:
        with events_of() as events:
            service = serve(ThreadingTCPServer, Upper)
            assert service.exchange(b"hello\n") == b"HELLO\n"
            stopped = events.wait_for(ConnectionStopped)
            service.server.shutdown()
        assert [type(event) for event in events] == [
            ServerStarted,
            ConnectionStarted,
            ConnectionReady,
            ConnectionStopped,
            ServerStopped,
        ]
        assert (stopped.received, stopped.sent) == (6, 6)
        assert stopped.seconds > 0

    def test_is_counted(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Held)
        assert service.client.recv(3) == b"in\n"
        statistics = service.server.stats()
        assert (statistics.accepted, statistics.active) == (1, 1)
        service.client.close()
        service.server.drain()
        statistics = service.server.stats()
        assert (statistics.accepted, statistics.active, statistics.failed) == (1, 0, 0)


class TestServeForever:
    """What the loop does beside leading requests in."""

    def test_service_actions_run_though_nothing_happens(self) -> None:
        turns = threading.Semaphore(0)

        class Turning(TCPServer):
            def service_actions(self) -> None:
                turns.release()

        with Turning(("127.0.0.1", 0), Upper) as server:
            loop = Background(server.serve_forever, 0.001)
            assert all(turns.acquire(timeout=30) for _ in range(3))
            server.shutdown()
            loop.result()

    def test_ignores_timeout(self, serve: Serve) -> None:
        class Impatient(TCPServer):
            timeout = 0.0

            def handle_timeout(self) -> None:
                raise AssertionError("serve_forever has no timeout")

        assert serve(Impatient, Upper).exchange(b"hello\n") == b"HELLO\n"

    def test_ends_when_the_listener_is_closed(self) -> None:
        server = ThreadingTCPServer(("127.0.0.1", 0), Upper)
        with events_of(ServerStarted) as events:
            loop = Background(server.serve_forever, 60)
            events.wait_for(ServerStarted)
        server.server_close()
        loop.result()

    def test_ends_when_the_listener_was_closed_before(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        server.server_close()
        Background(server.serve_forever, 60).result()
        assert server.stats().accepted == 0


class TestHandleRequest:
    """One request, waited for no longer than `timeout`."""

    def test_handles_one_and_returns(self) -> None:
        with ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
            request = Background(server.handle_request)
            with connected_to(server) as client:
                client.sendall(b"hello\n")
                request.result()
                assert client.recv(100) == b"HELLO\n"
            assert server.stats().accepted == 1

    @pytest.mark.parametrize(("own", "of_the_listener"), [(0, None), (0, 60), (60, 0.001), (None, 0.001)])
    def test_calls_handle_timeout_at_the_earlier_of_two(self, own: float | None, of_the_listener: float | None) -> None:
        timeouts = []

        class Waiting(TCPServer):
            timeout = own

            def handle_timeout(self) -> None:
                timeouts.append(True)

        with Waiting(("127.0.0.1", 0), Upper) as server:
            server.socket.settimeout(of_the_listener)
            Background(server.handle_request).result()
        assert timeouts == [True]

    def test_what_handle_timeout_raises_comes_out(self) -> None:
        class Quitting(TCPServer):
            timeout = 0

            def handle_timeout(self) -> None:
                raise LookupError("nobody came")

        with Quitting(("127.0.0.1", 0), Upper) as server, pytest.raises(LookupError, match="nobody came"):
            server.handle_request()

    def test_a_refused_request_counts_as_the_one(self) -> None:
        class Refusing(TCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                return False

        with Refusing(("127.0.0.1", 0), Upper) as server, connected_to(server) as client:
            server.handle_request()
            assert client.recv(1) == b""

    def test_a_closed_server_handles_none(self) -> None:
        server = TCPServer(("127.0.0.1", 0), Upper)
        server.server_close()
        with pytest.raises(ValueError, match="the server is closed"):
            server.handle_request()

    def test_fits_into_another_programs_select(self) -> None:
        with TCPServer(("127.0.0.1", 0), Upper) as server, connected_to(server) as client:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            readable, _, _ = select.select([server], [], [], 30)
            assert readable == [server]
            server.handle_request()
            assert client.recv(100) == b"HELLO\n"


def test_a_with_block_closes_the_server() -> None:
    with TCPServer(("127.0.0.1", 0), Upper) as server:
        assert server.fileno() >= 0
    assert server.fileno() == -1
    assert server.server_address[1] > 0


def test_the_base_alone_has_no_requests() -> None:
    with pytest.raises(NotImplementedError):
        BaseServer(("127.0.0.1", 0), Upper).get_request()
