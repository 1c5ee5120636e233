"""Servers of datagrams: the way of a datagram, in one piece and step by step."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, ThreadingUDPServer, UDPServer, events
from doorkeep.testing import FaultySocket
from doorkeep.testing.plugin import Serve
from doorkeep.testing.recorder import events_of
from tests.background import Background
from tests.sample_handlers import UpperDatagram

STEPS = (
    *("get_request", "verify_request", "process_request", "finish_request"),
    *("shutdown_request", "close_request", "_handle_request_noblock"),
)


def noted(name: str, log: list[str]) -> Any:
    """Return a step that is as ours, and noted."""
    plain = getattr(UDPServer, name)

    def step(self: UDPServer, *arguments: Any) -> Any:
        log.append(name)
        return plain(self, *arguments)

    return step


class TestRequests:
    @pytest.mark.parametrize("server_class", [UDPServer, ThreadingUDPServer])
    def test_stay_what_they_were_when_others_come(self, serve: Serve, server_class: Any) -> None:
        kept: list[bytes] = []

        class Keeps(BaseRequestHandler):
            def handle(self) -> None:
                data, reply_socket = self.request
                kept.append(data)
                reply_socket.sendto(b"kept", self.client_address)

        service = serve(server_class, Keeps)
        sent = [b"one", b"three", b"", b"five" * 1000, b"two"]
        for data in sent:
            assert service.exchange(data) == b"kept"
        assert kept == sent
        assert {type(data) for data in kept} == {bytes}

    def test_may_be_received_by_several_threads(self) -> None:
        """As foreign loops do, which call what takes a request."""
        with UDPServer(("127.0.0.1", 0), UpperDatagram) as server:
            receiving = [Background(server.get_request) for _ in range(2)]
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                for data in (b"one", b"two"):
                    client.sendto(data, server.server_address)
            assert {taken.result()[0][0] for taken in receiving} == {b"one", b"two"}

    def test_each_is_a_request(self, serve: Serve) -> None:
        service = serve(UDPServer, UpperDatagram)
        for text in (b"one", b"two", b"", b"three"):
            assert service.exchange(text) == text.upper()

    def test_a_burst_is_answered_whole(self, serve: Serve) -> None:
        service = serve(UDPServer, UpperDatagram)
        for number in range(100):
            service.client.send(b"datagram %d" % number)
        assert {service.client.recv(100) for _ in range(100)} == {b"DATAGRAM %d" % number for number in range(100)}

    def test_handlers_find_a_socket_that_blocks(self, serve: Serve) -> None:
        class Telling(UpperDatagram):
            def handle(self) -> None:
                blocking = os.get_blocking(self.socket.fileno()) and self.socket.gettimeout() is None
                self.wfile.write(b"blocks" if blocking else b"does not")

        assert serve(UDPServer, Telling).exchange(b"?") == b"blocks"


class TestSteps:
    """What a program puts in the place of a step is called, from when it is there."""

    @pytest.mark.parametrize("name", STEPS)
    def test_of_a_class(self, serve: Serve, name: str) -> None:
        log: list[str] = []
        service = serve(type("Own", (UDPServer,), {name: noted(name, log)}), UpperDatagram)
        for _ in range(2):
            assert service.exchange(b"a") == b"A"
        service.server.shutdown()
        assert log[:2] == [name, name]

    @pytest.mark.parametrize("name", STEPS)
    def test_of_a_server_that_serves(self, serve: Serve, name: str) -> None:
        log: list[str] = []
        service = serve(UDPServer, UpperDatagram)
        assert service.exchange(b"a") == b"A"
        setattr(service.server, name, noted(name, log).__get__(service.server))
        while not log:  # a turn that had begun before has its end
            assert service.exchange(b"b") == b"B"


class TestTurns:
    """A turn of the loop handles many datagrams."""

    def test_a_handler_that_fails_leaves_the_others(self, serve: Serve) -> None:
        class Failing(UpperDatagram):
            def handle(self) -> None:
                if self.packet == b"fail":
                    raise ValueError("no luck")
                super().handle()

        service = serve(UDPServer, Failing, reply_when_empty=False)
        with events_of(events.RequestFailed) as recorder:
            for data in (b"a", b"fail", b"b"):
                service.client.send(data)
            assert [service.client.recv(10) for _ in range(2)] == [b"A", b"B"]
            failed = recorder.wait_for(events.RequestFailed)
        assert str(failed.error) == "no luck"
        assert service.server.stats().accepted == 3

    def test_a_handler_that_ends_the_serving_leaves_the_rest_waiting(self) -> None:
        seen: list[bytes] = []

        class Ending(BaseRequestHandler):
            def handle(self) -> None:
                seen.append(self.request[0])
                self.server.shutdown()

        with UDPServer(("127.0.0.1", 0), Ending) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
            for data in (b"one", b"two"):
                client.sendto(data, server.server_address)
            server.serve_forever()
            assert seen == [b"one"]
            server.serve_forever()
            assert seen == [b"one", b"two"]

    def test_a_handler_may_change_what_comes_in(self) -> None:
        seen: list[bytes] = []

        class Denying(BaseRequestHandler):
            def handle(self) -> None:
                seen.append(self.request[0])
                self.server.deny = ["127.0.0.0/8"]

        with UDPServer(("127.0.0.1", 0), Denying) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
            for _ in range(65):  # one more than a turn takes
                client.sendto(b"one", server.server_address)
            with events_of(events.RequestRefused) as recorder:
                serving = Background(server.serve_forever)
                assert recorder.wait_for(events.RequestRefused).reason == "denied"
            server.shutdown()
            serving.result()
        assert 1 <= len(seen) <= 64

    def test_errors_of_the_socket_are_sorted(self) -> None:
        with UDPServer(("127.0.0.1", 0), UpperDatagram) as server:
            faults = [OSError(errno.ECONNABORTED, "gone"), OSError(errno.ENOBUFS, "none left"), None]
            server.socket = FaultySocket(server.socket, recvfrom=faults)
            serving = Background(server.serve_forever)
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.settimeout(30)
                client.sendto(b"a", server.server_address)
                assert client.recv(10) == b"A"
            server.shutdown()
            serving.result()
            assert server.stats().accept_errors == {"aborted": 1, "resources": 1}
