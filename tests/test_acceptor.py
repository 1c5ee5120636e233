"""Taking requests in: several in a turn, from whatever listener the server has, and not while it is suspended."""

from __future__ import annotations

import itertools
import socket
import threading
from typing import Any

from doorkeep import StreamRequestHandler, TCPServer, ThreadingTCPServer
from doorkeep.events import ListenerResumed, ListenerSuspended
from doorkeep.testing import FaultySocket, events_of, serving
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.clients import connected_to
from tests.sample_handlers import Upper


class TestBatches:
    """One turn of the loop takes several requests where it may."""

    def test_a_turn_of_the_loop_takes_no_more_than_a_batch(self, serve: Serve) -> None:
        accepted: list[int] = []

        class Counting(TCPServer):
            _BATCH = 2

            def service_actions(self) -> None:
                accepted.append(self.stats().accepted)

        service = serve(Counting, Upper)
        service.server.suspend()
        clients = [service.connect() for _ in range(5)]
        for client in clients:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
        service.server.resume()
        for client in clients:
            assert client.recv(100) == b"HELLO\n"
        service.server.shutdown()
        # More than one, and no more than that before the loop does what else it has to do.
        assert max(later - earlier for earlier, later in itertools.pairwise(accepted)) == 2


class TestListeners:
    """A server takes requests from the listener that it has at the time."""

    def test_goes_on_with_a_listener_that_replaces_the_first(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Upper)
        assert service.exchange(b"one\n") == b"ONE\n"
        service.server.socket = FaultySocket(service.server.socket, accept=())
        service.server._wake()
        assert service.exchange(b"two\n") == b"TWO\n"
        assert service.server.socket.calls["accept"] >= 1

    def test_goes_on_with_a_listener_that_replaces_the_first_within_a_batch(self) -> None:
        """The loop does not wait in the accept of a listener that it knows nothing of yet."""

        class Replacing(TCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                if self.socket is not second:
                    self.socket.close()
                    self.socket = second
                return True

        second = socket.create_server(("127.0.0.1", 0))
        with Replacing(("127.0.0.1", 0), StreamRequestHandler) as server:
            loop = Background(server.serve_forever, 60)
            connected_to(server).close()
            for _ in range(2):
                with connected_to(server, second.getsockname()) as client:
                    assert client.recv(1) == b""
            Background(server.shutdown).result()
            loop.result()

    def test_goes_on_with_a_listener_of_another_address(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Upper)
        assert service.exchange(b"one\n") == b"ONE\n"
        other = ThreadingTCPServer(("127.0.0.1", 0), Upper)
        first, service.server.socket = service.server.socket, other.socket
        service.server.server_address = other.server_address
        first.close()
        service.server._wake()
        assert service.exchange(b"two\n") == b"TWO\n"


class TestSuspend:
    """A suspended server accepts nothing, goes on with what it has, and loses no client."""

    def test_clients_wait_until_it_is_resumed(self) -> None:
        turned = threading.Semaphore(0)

        class Turning(ThreadingTCPServer):
            def service_actions(self) -> None:
                turned.release()

        with events_of(ListenerSuspended, ListenerResumed) as events, serving(Turning, Upper) as service:
            service.server.suspend()
            assert events.wait_for(ListenerSuspended).reason == "suspended"
            service.client.sendall(b"hello\n")
            while turned.acquire(blocking=False):
                pass
            service.server._wake()
            assert turned.acquire(timeout=30)
            assert service.server.stats().accepted == 0
            service.server.resume()
            assert service.client.recv(100) == b"HELLO\n"
            events.wait_for(ListenerResumed)

    def test_requests_in_progress_go_on(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Upper)
        service.client.sendall(b"one\n")
        assert service.client.recv(100) == b"ONE\n"
        with events_of(ListenerSuspended) as events:
            service.server.suspend()
            events.wait_for(ListenerSuspended)
        service.client.sendall(b"two\n")
        assert service.client.recv(100) == b"TWO\n"

    def test_may_be_shut_down(self, serve: Serve) -> None:
        service = serve(ThreadingTCPServer, Upper)
        with events_of(ListenerSuspended) as events:
            service.server.suspend()
            events.wait_for(ListenerSuspended)
        service.server.shutdown()

    def test_may_be_suspended_before_it_serves(self) -> None:
        with TCPServer(("127.0.0.1", 0), Upper) as server, events_of(ListenerSuspended) as events:
            server.suspend()
            loop = Background(server.serve_forever, 60)
            events.wait_for(ListenerSuspended)
            server.shutdown()
            loop.result()
