"""`on_drain`: handlers of conversations that go on are told when their server drains."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import (
    AsyncTCPServer,
    BaseRequestHandler,
    ForkingTCPServer,
    GreenTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ThreadPoolTCPServer,
    server,
)
from doorkeep.connection.drain_notice import DrainNotice
from doorkeep.green import Event
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.background import Background, eventually
from tests.connection.certificates import NAME, Certificates

IN_THREADS = [ThreadingTCPServer, ThreadPoolTCPServer]
on_every_model = pytest.mark.parametrize("server_class", [*IN_THREADS, GreenTCPServer, TCPServer, ForkingTCPServer])
in_one_process = pytest.mark.parametrize("server_class", [*IN_THREADS, GreenTCPServer])


class Talks(StreamRequestHandler):
    """Echoes lines until its client or a drain ends them, and says goodbye then."""

    def handle(self) -> None:
        with self.on_drain(self.stop):
            self.wfile.write(b"ready\n")
            for line in self.rfile:
                self.wfile.write(line)
        self.wfile.write(b"goodbye\n")

    def stop(self) -> None:
        self.connection.shutdown(socket.SHUT_RD)


@on_every_model
def test_a_drain_ends_conversations(serve: Serve, server_class: Any) -> None:
    served = serve(server_class, Talks)
    clients = [served.connect() for _ in range(1 if server_class is TCPServer else 3)]
    files = [client.makefile("rb") for client in clients]
    for client, file in zip(clients, files, strict=True):
        assert file.readline() == b"ready\n"
        client.sendall(b"hello\n")
        assert file.readline() == b"hello\n"
    assert Background(served.server.drain, 60).result(90) == 0
    for client, file in zip(clients, files, strict=True):
        assert file.read() == b"goodbye\n"
        file.close()
        client.close()


def test_of_a_coroutine_it_calls_between_tasks(serve: Serve) -> None:
    threads: list[int] = []

    class Waits(StreamRequestHandler):
        async def handle(self) -> None:
            threads.append(threading.get_ident())
            ended = asyncio.Event()

            def end() -> None:
                threads.append(threading.get_ident())
                ended.set()

            with self.on_drain(end):
                self.writer.write(b"ready\n")
                await ended.wait()
            self.writer.write(b"goodbye\n")

    served = serve(AsyncTCPServer, Waits)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        assert Background(served.server.drain, 60).result(90) == 0
        assert file.read() == b"goodbye\n"
    assert len(threads) == 2
    assert threads[0] == threads[1]


@pytest.mark.parametrize("server_class", [TCPServer, GreenTCPServer])
def test_the_end_of_a_loop_ends_what_runs_in_it(serve: Serve, server_class: Any) -> None:
    served = serve(server_class, Talks)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        Background(served.server.shutdown).result()
        assert file.read() == b"goodbye\n"


def test_the_end_of_a_loop_leaves_other_threads_alone(serve: Serve) -> None:
    served = serve(ThreadingTCPServer, Talks)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        served.server.shutdown()
        client.sendall(b"hello\n")
        assert file.readline() == b"hello\n"
        client.shutdown(socket.SHUT_WR)
        assert file.read() == b"goodbye\n"


@in_one_process
def test_once_the_block_has_ended_nothing_is_called(serve: Serve, server_class: Any) -> None:
    called: list[bool] = []

    class Ends(StreamRequestHandler):
        def handle(self) -> None:
            with self.on_drain(lambda: called.append(True)):
                pass
            self.wfile.write(b"ready\n")
            self.rfile.read()

    served = serve(server_class, Ends)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        drain = Background(served.server.drain, 60)
        assert eventually(lambda: served.server._drain_begun)
        client.shutdown(socket.SHUT_WR)
        assert drain.result(90) == 0
    assert called == []


@in_one_process
def test_the_block_does_not_end_amid_the_call(serve: Serve, server_class: Any) -> None:
    called, go_on = Event(), Event()
    order: list[str] = []

    def function() -> None:
        called.set()
        assert go_on.wait(30)
        order.append("call")

    class Waits(StreamRequestHandler):
        def handle(self) -> None:
            with self.on_drain(function):
                self.wfile.write(b"ready\n")
                assert called.wait(30)
                self.wfile.write(b"called\n")
            order.append("block")

    served = serve(server_class, Waits)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        drain = Background(served.server.drain, 60)
        assert file.readline() == b"called\n"
        assert order == []
        go_on.set()
        assert file.read() == b""
    assert drain.result(90) == 0
    assert order == ["call", "block"]


@in_one_process
def test_where_the_server_drains_already_the_block_begins_with_the_call(serve: Serve, server_class: Any) -> None:
    class Late(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"ready\n")
            self.rfile.readline()
            with self.on_drain(lambda: self.wfile.write(b"called\n")):
                self.wfile.write(b"block\n")

    served = serve(server_class, Late)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        drain = Background(served.server.drain, 60)
        assert eventually(lambda: served.server._drain_begun)
        client.sendall(b"\n")
        assert file.read() == b"called\nblock\n"
    assert drain.result(90) == 0


@in_one_process
def test_blocks_within_blocks(serve: Serve, server_class: Any) -> None:
    class Nests(StreamRequestHandler):
        def handle(self) -> None:
            inner, outer = Event(), Event()
            with self.on_drain(outer.set):
                with self.on_drain(inner.set):
                    self.wfile.write(b"ready\n")
                    assert inner.wait(30)
                assert outer.wait(30)
            self.wfile.write(b"both\n")

    served = serve(server_class, Nests)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        assert Background(served.server.drain, 60).result(90) == 0
        assert file.read() == b"both\n"


def test_an_inner_block_that_has_ended_leaves_the_outer(serve: Serve) -> None:
    class Nests(Talks):
        def handle(self) -> None:
            with self.on_drain(self.stop):
                with self.on_drain(self.fail):
                    pass
                self.wfile.write(b"ready\n")
                self.rfile.read()
            self.wfile.write(b"goodbye\n")

        def fail(self) -> None:
            raise AssertionError

    served = serve(ThreadingTCPServer, Nests)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        assert Background(served.server.drain, 60).result(90) == 0
        assert file.read() == b"goodbye\n"


@in_one_process
def test_what_the_function_raises_is_logged(serve: Serve, server_class: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Talks):
        def stop(self) -> None:
            super().stop()
            raise ZeroDivisionError

    served = serve(server_class, Fails)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        assert Background(served.server.drain, 60).result(90) == 0
        assert file.read() == b"goodbye\n"
    assert "ZeroDivisionError" in caplog.text
    assert "what on_drain was given failed" in caplog.text


def test_where_no_thread_can_start_it_is_told(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(function: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(server, "_start_thread", fails)
    served = serve(ThreadingTCPServer, Talks)
    with served.connect() as client, client.makefile("rb") as file:
        assert file.readline() == b"ready\n"
        assert served.server.drain(0) == 1
        assert file.read() in (b"", b"goodbye\n")
    assert "a handler cannot be told of the drain: can't start new thread" in caplog.text


def test_after_start_tls(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    prerequisites.module("trustme")
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    context = certificates.server_context()

    class Upgrades(Talks):
        def handle(self) -> None:
            self.start_tls(context)
            super().handle()

        def stop(self) -> None:
            stopped.set()
            super().stop()

    stopped = threading.Event()
    served = serve(ThreadingTCPServer, Upgrades)
    with certificates.client_context().wrap_socket(served.connect(), server_hostname=NAME) as client:
        assert client.recv(100) == b"ready\n"
        assert Background(served.server.drain, 60).result(90) == 0
    assert stopped.is_set()


def test_other_servers_never_call() -> None:
    handler = BaseRequestHandler(None, "", SimpleNamespace())
    with handler.on_drain(lambda: pytest.fail("called")):
        pass


def test_of_what_the_server_does_not_know_nothing_comes() -> None:
    with TCPServer(("127.0.0.1", 0), Talks) as unused, DrainNotice(unused, object(), lambda: pytest.fail("called")):
        unused.drain()
