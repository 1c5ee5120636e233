"""A child process for each request: how many, how the server hears of their end, and whose children they are."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from doorkeep import BaseRequestHandler, BaseServer, ForkingTCPServer, ForkingUDPServer, ForkingUnixStreamServer
from doorkeep.events import ConnectionStopped, ListenerSuspended, RequestFailed
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Held, Upper, UpperDatagram


class ProcessID(Held):
    """Answers with the number of its process, and stays."""

    def handle(self) -> None:
        self.wfile.write(b"%d\n" % os.getpid())
        self.rfile.read()


class Once(ForkingTCPServer):
    """Turns its loop seldom, so that what it hears soon it was told."""

    def serve_forever(self, poll_interval: float = 60) -> None:
        super().serve_forever(60)


def pid_behind(client: Any) -> int:
    """Return the process that `ProcessID` told a client."""
    return int(client.recv(20))


def without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what tells of a child's end."""

    def pidfd_open(pid: int) -> int:
        raise OSError("no such call in this kernel")

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)


class TestChildren:
    @pytest.mark.parametrize("server_class", [ForkingTCPServer, ForkingUnixStreamServer])
    def test_each_request_has_one(self, serve: Serve, server_class: type[BaseServer]) -> None:
        service = serve(server_class, ProcessID)
        pids = {pid_behind(service.connect()) for _ in range(5)}
        assert len(pids) == 5
        assert os.getpid() not in pids

    def test_datagrams_have_one(self, serve: Serve) -> None:
        class Telling(UpperDatagram):
            def handle(self) -> None:
                self.wfile.write(str(os.getpid()).encode())

        assert int(serve(ForkingUDPServer, Telling).exchange(b"who?")) != os.getpid()

    def test_active_children_are_their_pids(self, serve: Serve) -> None:
        service = serve(ForkingTCPServer, ProcessID)
        assert service.server.active_children is None
        pids = {pid_behind(service.connect()) for _ in range(3)}
        assert eventually(lambda: service.server.active_children == pids)  # it is counted once it runs

    def test_the_server_hears_of_their_end_at_once(self, serve: Serve) -> None:
        service = serve(Once, ProcessID)
        pid_behind(service.client)
        service.client.close()
        assert eventually(lambda: service.server.active_children == set())
        assert eventually(lambda: service.server.stats().active == 0)

    def test_a_killed_one_is_noticed_at_once(self, serve: Serve) -> None:
        service = serve(Once, ProcessID)
        with events_of(ConnectionStopped) as events:
            pid = pid_behind(service.client)
            os.kill(pid, signal.SIGKILL)
            assert events.wait_for(ConnectionStopped).client_address == service.client.getsockname()
        assert service.client.recv(1) == b""
        assert eventually(lambda: service.server.active_children == set())
        assert service.server.stats().failed == 1

    def test_without_pidfd_they_are_noticed_on_the_next_turn(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_pidfd(monkeypatch)
        service = serve(ForkingTCPServer, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.active_children == set())

    def test_a_failed_handler_is_told_by_the_child_and_counted_here(self, serve: Serve) -> None:
        def fail(request: Any, client_address: Any, server: Any) -> None:
            raise LookupError

        with events_of(RequestFailed) as events:
            service = serve(ForkingTCPServer, fail)
            assert service.exchange(b"") == b""
            service.server.drain()
        assert service.server.stats().failed == 1
        assert events == []

    def test_sys_exit_ends_the_child_alone(self, serve: Serve) -> None:
        def leave(request: Any, client_address: Any, server: Any) -> None:
            sys.exit("good bye")

        service = serve(ForkingTCPServer, leave)
        assert service.exchange(b"") == b""
        assert service.exchange(b"") == b""

    def test_what_is_buffered_is_written_once(self) -> None:
        program = """
from doorkeep import BaseRequestHandler, ForkingTCPServer
import socket
class Printing(BaseRequestHandler):
    def handle(self):
        print("in the child")
with ForkingTCPServer(("127.0.0.1", 0), Printing) as server, socket.create_connection(server.server_address) as client:
    print("before")
    server.handle_request()
    client.recv(1)
print("after")
"""
        printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert printed.stdout == "before\nin the child\nafter\n"

    def test_only_own_children_are_waited_for(self, serve: Serve) -> None:
        """A child of another part of the program keeps its exit status for that part."""
        with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as other:
            os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
            service = serve(ForkingTCPServer, Upper, max_children=1)
            for _ in range(3):
                assert service.exchange(b"hello\n") == b"HELLO\n"
            service.server.drain()
            service.server.server_close()
            assert other.wait() == 7

    def test_one_that_somebody_else_has_waited_for_is_let_go(self, serve: Serve) -> None:
        service = serve(Once, ProcessID)
        pid = pid_behind(service.client)
        reaping = Background(os.waitpid, pid, 0)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: service.server.active_children == set())
        with contextlib.suppress(ChildProcessError):  # the server was first
            reaping.result()


class TestMaxChildren:
    """The limit leaves clients in the backlog, and the loop alive."""

    @pytest.mark.parametrize("with_pidfd", [True, False])
    def test_clients_beyond_wait(self, serve: Serve, monkeypatch: pytest.MonkeyPatch, with_pidfd: bool) -> None:
        if not with_pidfd:
            without_pidfd(monkeypatch)
        service = serve(ForkingTCPServer, Held, max_children=2)
        first, second, third = (service.connect() for _ in range(3))
        assert first.recv(3) == second.recv(3) == b"in\n"
        assert service.server.stats().accepted == 2
        first.close()
        assert third.recv(3) == b"in\n"

    def test_a_client_beyond_is_accepted_as_soon_as_a_child_ends(self, serve: Serve) -> None:
        service = serve(Once, Held, max_children=1)
        first, second = service.connect(), service.connect()
        assert first.recv(3) == b"in\n"
        first.close()
        assert second.recv(3) == b"in\n"

    def test_shutdown_does_not_wait_for_a_child(self, serve: Serve) -> None:
        service = serve(Once, Held, max_children=1)
        first = service.connect()
        service.connect()
        assert first.recv(3) == b"in\n"
        Background(service.server.shutdown).result()

    def test_service_actions_go_on(self, serve: Serve) -> None:
        turns = threading.Semaphore(0)

        class Turning(ForkingTCPServer):
            def service_actions(self) -> None:
                super().service_actions()
                turns.release()

            def serve_forever(self, poll_interval: float = 0.001) -> None:
                super().serve_forever(0.001)

        with events_of(ListenerSuspended) as events:
            service = serve(Turning, Held, max_children=1)
            assert service.client.recv(3) == b"in\n"
            assert events.wait_for(ListenerSuspended).reason == "limit"
        while turns.acquire(blocking=False):
            pass
        assert all(turns.acquire(timeout=30) for _ in range(3))

    def test_max_connections_counts_children(self, serve: Serve) -> None:
        service = serve(ForkingTCPServer, Held, max_connections=1)
        first, second = service.connect(), service.connect()
        assert first.recv(3) == b"in\n"
        assert service.server.stats().accepted == 1
        first.close()
        assert second.recv(3) == b"in\n"

    def test_at_limit_close_turns_clients_away(self, serve: Serve) -> None:
        service = serve(ForkingTCPServer, Held, max_connections=1, at_limit="close")
        assert service.client.recv(3) == b"in\n"
        assert service.connect().recv(3) == b""
        assert service.server.stats().refused == {"limit": 1}

    @pytest.mark.parametrize("method", ["handle_request", "_handle_request_noblock"])
    @pytest.mark.parametrize("with_pidfd", [True, False])
    def test_a_foreign_loop_waits_for_a_child(
        self, monkeypatch: pytest.MonkeyPatch, with_pidfd: bool, method: str
    ) -> None:
        if not with_pidfd:
            without_pidfd(monkeypatch)
        with (
            ForkingTCPServer(("127.0.0.1", 0), Held, max_children=1) as server,
            connected_to(server) as first,
            connected_to(server) as second,
        ):
            server.handle_request()
            assert first.recv(3) == b"in\n"
            waiting = Background(getattr(server, method))
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
            first.close()
            waiting.result()
            assert second.recv(3) == b"in\n"


class TestTheEnd:
    def test_a_second_loop_hears_of_children_of_the_first(self, serve: Serve) -> None:
        service = serve(Once, ProcessID)
        pid_behind(service.client)
        service.server.shutdown()
        loop = Background(service.server.serve_forever)
        pid_behind(service.connect())
        service.client.close()
        assert eventually(lambda: len(service.server.active_children or ()) == 1)
        service.server.shutdown()
        loop.result()

    def test_server_close_waits_for_children(self) -> None:
        server = ForkingTCPServer(("127.0.0.1", 0), Held)
        with connected_to(server) as client:
            server.handle_request()
            assert client.recv(3) == b"in\n"
            closing = Background(server.server_close)
            with pytest.raises(TimeoutError):
                closing.result(0.05)
            client.close()
            closing.result()
            assert server.active_children == set()

    def test_server_close_may_leave_them(self) -> None:
        server = ForkingTCPServer(("127.0.0.1", 0), Held, block_on_close=False)
        with connected_to(server) as client:
            server.handle_request()
            assert client.recv(3) == b"in\n"
            Background(server.server_close).result()
            assert len(server.active_children or ()) == 1
        server.collect_children(blocking=True)
        assert server.active_children == set()

    def test_handle_timeout_takes_note_of_ended_children(self) -> None:
        with ForkingTCPServer(("127.0.0.1", 0), Upper) as server:
            server.timeout = 0
            with connected_to(server) as client:
                client.shutdown(socket.SHUT_WR)
                server.handle_request()
                assert client.recv(1) == b""
            pid = next(iter(server.active_children or ()))
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            server.handle_request()
            assert server.active_children == set()

    def test_a_drain_within_a_child_leaves_its_siblings_alone(self, serve: Serve) -> None:
        class Draining(ProcessID):
            def handle(self) -> None:
                if self.rfile.readline() == b"drain\n":
                    self.server.drain(0)
                    self.wfile.write(b"drained\n")
                else:
                    super().handle()

        service: Served[ForkingTCPServer] = serve(ForkingTCPServer, Draining)
        service.client.sendall(b"stay\n")
        pid = pid_behind(service.client)
        assert service.exchange(b"drain\n") == b"drained\n"
        os.kill(pid, 0)
        assert pid in (service.server.active_children or ())

    def test_the_timeout_of_the_standard_library(self) -> None:
        assert ForkingTCPServer.timeout == 300
        assert ForkingTCPServer.max_children == 40


def test_bare_handlers_work_in_children(serve: Serve) -> None:
    class Bare(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(self.request.recv(100).upper())

    assert serve(ForkingTCPServer, Bare).exchange(b"hello") == b"HELLO"


class TestWithoutPidfd:
    """Where the kernel does not tell of a child's end, the server finds out by itself."""

    @pytest.fixture(autouse=True)
    def _no_pidfd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "pidfd_open")

    def test_a_killed_child_is_counted_and_the_end_of_its_connection_told(self, serve: Serve) -> None:
        service = serve(ForkingTCPServer, ProcessID)
        with events_of(ConnectionStopped) as events:
            os.kill(pid_behind(service.client), signal.SIGKILL)
            assert events.wait_for(ConnectionStopped).client_address == service.client.getsockname()
        assert service.client.recv(1) == b""
        assert service.server.stats().failed == 1

    def test_a_drain_ends_those_that_stay(self, serve: Serve) -> None:
        service = serve(ForkingTCPServer, Held)
        clients = [service.connect() for _ in range(3)]
        for client in clients:
            assert client.recv(3) == b"in\n"
        assert Background(service.server.drain, 0.05).result() == 3
        assert [client.recv(1) for client in clients] == [b""] * 3
        assert service.server.active_children == set()

    def test_shutdown_does_not_wait_for_a_child(self, serve: Serve) -> None:
        service = serve(Once, Held, max_children=1)
        with events_of(ListenerSuspended) as events:
            first, _ = service.connect(), service.connect()
            assert first.recv(3) == b"in\n"
            events.wait_for(ListenerSuspended)
        Background(service.server.shutdown).result()
        assert service.server.stats().accepted == 1


@pytest.mark.parametrize("with_pidfd", [True, False])
def test_never_more_children_than_max_children(serve: Serve, monkeypatch: pytest.MonkeyPatch, with_pidfd: bool) -> None:
    if not with_pidfd:
        without_pidfd(monkeypatch)
    at_once = []

    class Counting(ForkingTCPServer):
        def process_request(self, request: Any, client_address: Any) -> None:
            super().process_request(request, client_address)
            at_once.append(len(self.active_children or ()))

    service = serve(Counting, Upper, max_children=3)

    def converse() -> list[bytes]:
        return [service.exchange(b"hello\n") for _ in range(5)]

    for client in [Background(converse) for _ in range(8)]:
        assert client.result() == [b"HELLO\n"] * 5
    service.server.shutdown()  # a client may have its answer before the loop has counted its child
    assert len(at_once) == 40
    assert max(at_once) <= 3
