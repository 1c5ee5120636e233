"""A greenlet for each request: all in one thread, each going on while the others wait."""

from __future__ import annotations

import gc
import os
import socket
import socketserver
import struct
import subprocess
import threading
import time
import weakref
from typing import Any

import pytest
from greenlet import GreenletExit, getcurrent

from doorkeep import (
    BaseRequestHandler,
    BaseServer,
    SettingError,
    StreamRequestHandler,
    TCPServer,
    UnixStreamServer,
)
from doorkeep.concurrency.greenlets import GreenMixIn, GreenTCPServer, GreenUnixStreamServer
from doorkeep.events import HubBlocked, RequestFailed
from doorkeep.green import offload, sleep
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Held, Upper

STREAMS = [GreenTCPServer, GreenUnixStreamServer]


class Task(BaseRequestHandler):
    """Answers with its thread and its greenlet, and stays until the client ends."""

    def handle(self) -> None:
        self.request.sendall(b"%d %d\n" % (threading.get_ident(), id(getcurrent())))
        self.request.recv(1)


class TestRequests:
    @pytest.mark.parametrize("server_class", STREAMS)
    def test_run_side_by_side(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, Held)
        clients = [service.connect() for _ in range(200)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert service.server.stats().active == 200

    def test_share_a_thread_and_have_a_greenlet_each(self, serve: Serve) -> None:
        service = serve(GreenTCPServer, Task)
        answers = [service.connect().recv(99).split() for _ in range(5)]
        assert len({thread for thread, _ in answers}) == 1
        assert len({greenlet for _, greenlet in answers}) == 5

    def test_have_a_socket(self, serve: Serve) -> None:
        class Kind(BaseRequestHandler):
            def handle(self) -> None:
                assert isinstance(self.request, socket.socket)
                assert self.request.gettimeout() is None
                self.request.sendall(b"%s:%d" % (self.client_address[0].encode(), self.client_address[1]))

        service = serve(GreenTCPServer, Kind)
        assert service.client.recv(99).decode() == "{}:{}".format(*service.client.getsockname())

    def test_of_handlers_that_know_nothing_of_us(self, serve: Serve) -> None:
        class Echo(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    self.wfile.write(line)

        service = serve(GreenTCPServer, Echo)
        others = [service.connect() for _ in range(3)]
        assert service.exchange(b"one\ntwo\n") == b"one\ntwo\n"
        for other in others:
            other.sendall(b"late\n")
            assert other.recv(99) == b"late\n"

    def test_leave_nothing_behind(self, serve: Serve) -> None:
        handlers: weakref.WeakSet[Any] = weakref.WeakSet()

        class Known(Upper):
            def setup(self) -> None:
                handlers.add(self)
                super().setup()

        service = serve(GreenTCPServer, Known)
        for _ in range(20):
            assert service.exchange(b"a\n") == b"A\n"

        def gone() -> bool:
            gc.collect()
            return not handlers

        assert eventually(lambda: service.server.stats().active == 0)
        assert eventually(gone)

    def test_that_a_program_has_accepted_itself(self, serve: Serve) -> None:
        class Own(GreenTCPServer):
            def get_request(self) -> Any:
                return self.socket.accept()

        service = serve(Own, Held)
        clients = [service.connect() for _ in range(3)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert service.server.stats().active == 3

    def test_outside_of_serve_forever(self) -> None:
        with GreenTCPServer(("127.0.0.1", 0), Upper) as server, connected_to(server) as client:
            client.sendall(b"a\n")
            client.shutdown(socket.SHUT_WR)
            server.handle_request()
            assert client.recv(9) == b"A\n"
            assert client.recv(9) == b""

    def test_of_a_mix_in_of_ones_own(self, serve: Serve) -> None:
        class Mine(GreenMixIn, TCPServer):
            pass

        service = serve(Mine, Held)
        assert [service.connect().recv(3) for _ in range(3)] == [b"in\n"] * 3

    def test_may_hand_their_connection_to_a_program(self, serve: Serve) -> None:
        class Runs(StreamRequestHandler):
            def handle(self) -> None:
                descriptor = self.request.detach()
                offload(subprocess.check_call, ["cat"], stdin=descriptor, stdout=descriptor)
                os.close(descriptor)

        service = serve(GreenTCPServer, Runs)
        assert service.exchange(b"hello\n") == b"hello\n"
        assert eventually(lambda: service.server.stats().active == 0)
        assert service.server.stats().failed == 0

    def test_of_a_unix_socket_wait_too(self, serve: Serve) -> None:
        class Mine(GreenMixIn, UnixStreamServer):
            pass

        service = serve(Mine, Held)
        assert [service.connect().recv(3) for _ in range(3)] == [b"in\n"] * 3

    def test_begin_although_a_client_keeps_the_server_busy(self, serve: Serve) -> None:
        """A handler whose connection is always ready gives way to the others."""

        class Endless(BaseRequestHandler):
            def handle(self) -> None:
                while self.request.recv(1):
                    pass

        service = serve(GreenTCPServer, Endless)
        flood = Background(_flood, service.connect())
        try:
            late = service.connect()
            late.close()
            assert eventually(lambda: service.server.stats().accepted >= 2)
        finally:
            service.server.drain(0)
            flood.result()


def _flood(client: socket.socket) -> None:
    try:
        while True:
            client.sendall(bytes(1 << 16))
    except OSError:
        pass


class TestTheEnd:
    def test_of_serving_leaves_requests_the_thread(self) -> None:
        with GreenTCPServer(("127.0.0.1", 0), Held) as server:
            serving = Background(server.serve_forever)
            with connected_to(server) as client:
                assert client.recv(3) == b"in\n"
                server.shutdown()
                assert server.stats().active == 1
                client.shutdown(socket.SHUT_WR)
                assert client.recv(4) == b"out\n"
            serving.result()
            assert server.stats().active == 0

    def test_without_block_on_close_ends_them(self) -> None:
        ended = threading.Event()

        class Stays(Held):
            def finish(self) -> None:
                super().finish()
                ended.set()

        with GreenTCPServer(("127.0.0.1", 0), Stays, block_on_close=False) as server:
            serving = Background(server.serve_forever)
            with connected_to(server) as client:
                assert client.recv(3) == b"in\n"
                server.shutdown()
                serving.result()
                assert ended.is_set()
                assert client.recv(9) == b""

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_by_an_exception_lets_the_others_finish_when_the_server_is_closed(self, kind: type[BaseException]) -> None:
        class Leaves(Held):
            def handle(self) -> None:
                self.wfile.write(b"in\n")
                if self.rfile.readline() == b"leave\n":
                    raise kind
                self.wfile.write(b"out\n")

        server = GreenTCPServer(("127.0.0.1", 0), Leaves)
        with connected_to(server) as one, connected_to(server) as other:

            def run() -> None:
                with server, pytest.raises(kind):
                    server.serve_forever()

            serving = Background(run)
            assert (one.recv(3), other.recv(3)) == (b"in\n", b"in\n")
            one.sendall(b"leave\n")
            assert one.recv(9) == b""
            other.sendall(b"stay\n")
            assert other.recv(9) == b"out\n"
            serving.result()

    def test_from_a_handler_with_a_drain(self, serve: Serve) -> None:
        class Last(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"in\n")
                if self.rfile.readline() == b"drain\n":
                    self.wfile.write(b"cut %d\n" % self.server.drain(0.05))

        service = serve(GreenTCPServer, Last)
        others = [service.connect() for _ in range(2)]
        last = service.connect()
        for client in (*others, last):
            assert client.recv(3) == b"in\n"
        last.sendall(b"drain\n")
        assert last.recv(99) == b"cut 2\n"
        assert [other.recv(9) for other in others] == [b"", b""]

    def test_of_a_drain_does_not_wait_for_those_that_do_not_notice(self) -> None:
        class Deaf(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"in\n")
                sleep(3600)

        with GreenTCPServer(("127.0.0.1", 0), Deaf) as server:
            serving = Background(server.serve_forever)
            with connected_to(server) as client:
                assert client.recv(3) == b"in\n"
                assert server.drain(0.01) == 1
                serving.result()

    def test_of_a_drain_is_left_to_it(self) -> None:
        """The thread that serves has the same deadline, and must not cut what the drain is to count."""
        cut = threading.Event()

        class Hurried(GreenTCPServer):
            def _stop_listening(self) -> None:
                super()._stop_listening()
                cut.wait(0.1)

            def _cut_requests(self) -> int:
                cut.set()
                return super()._cut_requests()

        with Hurried(("127.0.0.1", 0), Held, drain_timeout=0) as server:
            serving = Background(server.serve_forever)
            with connected_to(server) as client:
                assert client.recv(3) == b"in\n"
                assert server.drain(0) == 1
                serving.result()


class TestCollectedWrites:
    class Lines(StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)

    @pytest.mark.parametrize("collected", [True, False])
    def test_leave_together_when_the_handler_waits(self, serve: Serve, collected: bool) -> None:
        service = serve(GreenTCPServer, self.Lines, coalesce_writes=collected)
        client = service.client
        client.sendall(b"ping\n")
        assert client.recv(5) == b"ping\n"
        before = _segments_received(client)
        client.sendall(b"line\n" * 16)
        received = b""
        while len(received) < 80:
            received += client.recv(80)
        assert received == b"line\n" * 16
        assert (_segments_received(client) - before == 1) is collected

    def test_leave_at_the_end(self, serve: Serve) -> None:
        class Bye(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"good ")
                self.wfile.write(b"bye")

        assert serve(GreenTCPServer, Bye, coalesce_writes=True).exchange(b"") == b"good bye"

    def test_leave_with_a_flush(self, serve: Serve) -> None:
        waited = threading.Event()

        class Flushes(StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"one")
                self.wfile.flush()
                waited.wait(30)  # the hub stands still: nothing else can have sent it

        service = serve(GreenTCPServer, Flushes, coalesce_writes=True, blocked_after=None)
        assert service.client.recv(3) == b"one"
        waited.set()

    def test_that_cannot_leave_tell_the_next_write(self, serve: Serve) -> None:
        outcome: list[BaseException] = []

        class Writes(StreamRequestHandler):
            def handle(self) -> None:
                self.rfile.readline()
                try:
                    while True:
                        self.wfile.write(b"x" * 1000)
                        sleep(0)
                except OSError as error:
                    outcome.append(error)
                    raise

        service = serve(GreenTCPServer, Writes, coalesce_writes=True)
        service.client.sendall(b"go\n")
        service.client.close()
        assert eventually(lambda: outcome)
        assert isinstance(outcome[0], ConnectionError)

    def test_are_for_streams(self) -> None:
        from doorkeep.concurrency.greenlets import GreenUDPServer

        with pytest.raises(SettingError, match="coalesce_writes is for connections"):
            GreenUDPServer(("127.0.0.1", 0), BaseRequestHandler, coalesce_writes=True)


def _segments_received(client: socket.socket) -> int:
    """Return how many segments with data a connection has received (tcpi_data_segs_in of linux/tcp.h)."""
    information = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    (count,) = struct.unpack_from("=I", information, 152)
    return int(count)


class TestABlockedHub:
    def test_is_told_with_the_place(self, serve: Serve) -> None:
        class Busy(StreamRequestHandler):
            """Computes until something is told, for each line."""

            def handle(self) -> None:
                for line in self.rfile:
                    before = len(events)
                    while len(events) == before:
                        pass
                    self.wfile.write(line)

        def is_told() -> bool:
            service.client.sendall(b"compute\n")
            assert service.client.recv(9) == b"compute\n"
            # On a slow machine something else may hold the hub, too.
            return any(event.place.endswith("in handle") for event in events.of(HubBlocked))

        with events_of(HubBlocked) as events:
            service = serve(GreenTCPServer, Busy)
            assert eventually(is_told)
        event = next(event for event in events.of(HubBlocked) if event.place.endswith("in handle"))
        assert event.client_address == service.client.getsockname()
        assert event.seconds > 0.1
        assert event.place.startswith(__file__)
        assert "while len(events) == before" in event.stack or "pass" in event.stack
        assert service.server.stats().blocked >= 1

    def test_is_not_told_of_when_there_is_no_limit(self, serve: Serve) -> None:
        class Busy(StreamRequestHandler):
            def handle(self) -> None:
                until = time.monotonic() + 0.3
                while time.monotonic() < until:
                    pass
                self.wfile.write(b"done")

        service = serve(GreenTCPServer, Busy, blocked_after=None)
        assert service.exchange(b"") == b"done"
        assert service.server.stats().blocked == 0


class Unusual(BaseException):
    """No `Exception`, as `asyncio.CancelledError` is none."""


@pytest.mark.parametrize("kind", [RuntimeError, Unusual])
def test_exceptions_cost_one_connection(serve: Serve, kind: type[BaseException]) -> None:
    class Fails(Upper):
        def handle(self) -> None:
            super().handle()
            raise kind("it failed")

    service = serve(GreenTCPServer, Fails)
    with events_of(RequestFailed) as events:
        assert service.exchange(b"a\n") == b"A\n"
        assert service.exchange(b"b\n") == b"B\n"
        assert eventually(lambda: len(events) == 2)
    assert service.server.stats().failed == 2


def test_a_greenlet_may_end_itself(serve: Serve) -> None:
    class Ends(Upper):
        def handle(self) -> None:
            super().handle()
            raise GreenletExit

    service = serve(GreenTCPServer, Ends)
    assert service.exchange(b"a\n") == b"A\n"
    assert service.exchange(b"b\n") == b"B\n"
    assert service.server.stats().failed == 0
