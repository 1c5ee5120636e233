"""Several servers in one hub."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, BaseServer, StreamRequestHandler, ThreadingTCPServer
from doorkeep.concurrency.greenlets import GreenTCPServer, GreenUDPServer
from doorkeep.green import Event, offload, run, serve, spawn, timeout
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Held, Upper, UpperDatagram

ADDRESS = ("127.0.0.1", 0)


@contextmanager
def served_together(*servers: Any) -> Iterator[Background[None]]:
    """Serve while the block lasts, in a thread, and end each server by itself."""
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        together = Background(serve, *servers)
        try:
            yield together
        finally:
            for server in servers:
                server.shutdown()
            together.result()


def exchange(server: BaseServer, data: bytes) -> bytes:
    with connected_to(server) as client:
        client.sendall(data)
        return client.recv(100)


def test_all_are_served_in_one_thread() -> None:
    threads: set[int] = set()

    class WhichThread(BaseRequestHandler):
        def handle(self) -> None:
            threads.add(threading.get_ident())
            if isinstance(self.request, tuple):
                self.request[1].sendto(b"noted", self.client_address)
            else:
                self.request.sendall(b"noted")

    tcp, udp = GreenTCPServer(ADDRESS, WhichThread), GreenUDPServer(ADDRESS, WhichThread)
    with served_together(tcp, udp):
        assert exchange(tcp, b"hello") == b"noted"
        assert exchange(udp, b"hello") == b"noted"
    assert len(threads) == 1


def test_one_goes_on_when_another_has_ended() -> None:
    tcp, udp = GreenTCPServer(ADDRESS, Upper), GreenUDPServer(ADDRESS, UpperDatagram)
    with served_together(tcp, udp):
        assert exchange(tcp, b"hello\n") == b"HELLO\n"
        tcp.shutdown()
        assert exchange(udp, b"hello") == b"HELLO"


def test_requests_of_one_are_waited_for_while_others_are_served() -> None:
    tcp, udp = GreenTCPServer(ADDRESS, Held), GreenUDPServer(ADDRESS, UpperDatagram)
    with served_together(tcp, udp), connected_to(tcp) as client:
        assert client.recv(100) == b"in\n"
        tcp.shutdown()
        assert exchange(udp, b"hello") == b"HELLO"
        client.shutdown(1)
        assert client.recv(100) == b"out\n"


def test_handlers_of_different_servers_meet() -> None:
    told = Event()

    class Tell(BaseRequestHandler):
        def handle(self) -> None:
            told.set()

    class Hear(StreamRequestHandler):
        def handle(self) -> None:
            with timeout(30):
                told.wait()
            self.wfile.write(b"heard")

    with (
        served_together(tcp := GreenTCPServer(ADDRESS, Hear), udp := GreenUDPServer(ADDRESS, Tell)),
        connected_to(tcp) as hearing,
        connected_to(udp) as telling,
    ):
        telling.send(b"now")
        assert hearing.recv(100) == b"heard"


def test_no_servers_are_served_at_once() -> None:
    serving = Background(serve)
    serving.result()  # it has ended


def test_a_server_that_is_not_green() -> None:
    with (
        GreenTCPServer(ADDRESS, Upper) as green,
        ThreadingTCPServer(ADDRESS, Upper) as threading_server,
        pytest.raises(TypeError, match="ThreadingTCPServer has none"),
    ):
        serve(green, threading_server)


def test_a_server_given_twice() -> None:
    with GreenTCPServer(ADDRESS, Upper) as green, pytest.raises(ValueError, match="given twice"):
        serve(green, green)


def test_serves_in_a_hub_that_runs() -> None:
    def main() -> bytes:
        with GreenTCPServer(ADDRESS, Upper) as tcp:
            serving = spawn(serve, tcp)
            answer = offload(exchange, tcp, b"hello\n")
            tcp.shutdown()
            serving.result(30)
            return answer

    assert run(main) == b"HELLO\n"


# -- Exceptions --------------------------------------------------------------------------------------------------


class Raises(BaseRequestHandler):
    def handle(self) -> None:
        raise KeyboardInterrupt


class BadActions(GreenTCPServer):
    def service_actions(self) -> None:
        raise ValueError("no service")


def test_what_leaves_a_handler_ends_all() -> None:
    with GreenTCPServer(ADDRESS, Raises) as tcp, GreenUDPServer(ADDRESS, UpperDatagram) as udp:
        together = Background(serve, tcp, udp)
        with connected_to(tcp), pytest.raises(KeyboardInterrupt):
            together.result()


def test_what_leaves_a_loop_ends_all() -> None:
    with (
        BadActions(ADDRESS, Upper) as bad,
        GreenUDPServer(ADDRESS, UpperDatagram) as udp,
        pytest.raises(ValueError, match="no service"),
    ):
        Background(lambda: serve(udp, bad, poll_interval=0.01)).result()


def test_requests_in_progress_are_left_to_the_close() -> None:
    log: list[str] = []

    class Slow(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"in\n")
            released.wait(30)
            log.append("done")

    def serve_and_close() -> None:
        with GreenTCPServer(ADDRESS, Slow) as slow, GreenTCPServer(ADDRESS, Raises) as raising:
            addresses.append((slow, raising))
            ready.set()
            try:
                serve(slow, raising)
            finally:
                log.append("served")
                released.set()

    released = Event()
    addresses: list[tuple[BaseServer, BaseServer]] = []
    ready = threading.Event()
    together = Background(serve_and_close)
    assert ready.wait(30)
    slow, raising = addresses.pop()
    with connected_to(slow) as client:
        assert client.recv(100) == b"in\n"
        with connected_to(raising), pytest.raises(KeyboardInterrupt):
            together.result()
    assert log == ["served", "done"]


def press_ctrl_c_after_a_request(server: BaseServer) -> None:
    assert exchange(server, b"hello\n") == b"HELLO\n"
    assert eventually(lambda: server.stats().active == 0)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_ctrl_c_ends_all() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with GreenTCPServer(ADDRESS, Upper) as tcp, GreenUDPServer(ADDRESS, UpperDatagram) as udp:
            client = Background(press_ctrl_c_after_a_request, tcp)
            with pytest.raises(KeyboardInterrupt):
                serve(tcp, udp)
            client.result()
    finally:
        signal.signal(signal.SIGINT, before)
