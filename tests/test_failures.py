"""What goes wrong in a step of a request costs that request, and the server goes on."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import socket
import struct
import threading
from typing import Any

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
from doorkeep.concurrency.threads import RequestThread
from doorkeep.events import AcceptFailed, ListenerResumed, ListenerSuspended, RequestFailed
from doorkeep.testing import FaultySocket, events_of, no_leaks, serving
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.clients import connected_to
from tests.sample_handlers import Upper, UpperDatagram

IN_THIS_PROCESS = [TCPServer, ThreadingTCPServer, ThreadPoolTCPServer]
EVERY_CLASS = [*IN_THIS_PROCESS, ForkingTCPServer]


class Broken(Exception):
    """What the tests raise."""


def failing_once(base: type, name: str, error: BaseException | type[BaseException] = Broken) -> Any:
    """Return a subclass of `base` whose method raises on its first call, and then does what it should."""
    calls = itertools.count()

    def method(self: Any, *arguments: Any) -> Any:
        if next(calls) == 0:
            raise error
        return getattr(base, name)(self, *arguments)

    return type(f"Failing{base.__name__}", (base,), {name: method})


class BaseUpper(BaseRequestHandler):
    """Answers in upper case, with no files that would be left open by a step that fails."""

    def handle(self) -> None:
        self.request.sendall(self.request.recv(100).upper())


@pytest.fixture
def _unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pytest from keeping tracebacks, and with them the sockets in their frames."""
    monkeypatch.setattr(logging.getLogger("doorkeep.server"), "disabled", True)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """Return what servers log, from level DEBUG on; pytest, which would keep it, does not hear of it."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    logger = logging.getLogger("doorkeep.server")
    for name, value in {"handlers": [handler], "propagate": False, "level": logging.DEBUG, "_cache": {}}.items():
        monkeypatch.setattr(logger, name, value)
    return records


@pytest.mark.usefixtures("_unlogged")
class TestEachStep:
    """An exception in a step ends the request, and the next one is served."""

    @pytest.mark.parametrize("server_class", IN_THIS_PROCESS)
    @pytest.mark.parametrize("step", ["verify_request", "process_request", "finish_request"])
    def test_of_a_server(self, serve: Serve, server_class: type[BaseServer], step: str) -> None:
        service = serve(failing_once(server_class, step), Upper)
        assert service.exchange(b"hello\n") == b""
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.stats().active == 0)
        assert service.server.stats().failed == 1

    # What would have closed the socket has failed: the collector closes it, and says so.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("server_class", IN_THIS_PROCESS)
    @pytest.mark.parametrize("step", ["shutdown_request", "close_request"])
    def test_of_a_server_at_the_end(self, serve: Serve, server_class: type[BaseServer], step: str) -> None:
        service = serve(failing_once(server_class, step), Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.stats().active == 0)
        assert service.server.stats().failed == 1

    @pytest.mark.parametrize("server_class", IN_THIS_PROCESS)
    @pytest.mark.parametrize("step", ["__init__", "setup", "handle", "finish"])
    def test_of_a_handler(self, serve: Serve, server_class: type[BaseServer], step: str) -> None:
        service = serve(server_class, failing_once(BaseUpper, step))
        first = service.exchange(b"hello\n")
        assert first == (b"HELLO\n" if step == "finish" else b"")
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.stats().failed == 1)

    def test_of_a_handler_in_a_child(self, serve: Serve) -> None:
        class Failing(StreamRequestHandler):
            def handle(self) -> None:
                if self.rfile.readline() == b"fail\n":
                    raise Broken
                self.wfile.write(b"well\n")

        service = serve(ForkingTCPServer, Failing)
        assert service.exchange(b"fail\n") == b""
        assert service.exchange(b"live\n") == b"well\n"
        service.server.drain()
        assert service.server.stats().failed == 1

    def test_of_a_datagram_handler(self, serve: Serve) -> None:
        service = serve(UDPServer, failing_once(UpperDatagram, "handle"), reply_when_empty=False)
        service.client.send(b"first")
        assert service.exchange(b"second") == b"SECOND"
        assert service.server.stats().failed == 1

    def test_that_takes_the_request(self, serve: Serve) -> None:
        """`get_request` failed before there was a request: accepting pauses, and the client is served then."""
        service = serve(failing_once(ThreadingTCPServer, "get_request", Broken("no luck")), Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert service.server.stats().accept_errors == {"error": 1}

    @pytest.mark.parametrize("server_class", EVERY_CLASS)
    @pytest.mark.parametrize("step", ["verify_request", "process_request"])
    def test_leaves_no_socket_open(self, server_class: type[TCPServer], step: str) -> None:
        def fail(*_arguments: object) -> None:
            raise Broken

        server = type("Failing", (server_class,), {step: fail})(("127.0.0.1", 0), Upper)
        with server, connected_to(server) as client, no_leaks():
            server.handle_request()
            assert client.recv(1) == b""


class TestHandleError:
    """`handle_error` hears of each failure, where it happened."""

    @pytest.mark.parametrize("server_class", IN_THIS_PROCESS)
    def test_is_called_with_the_request_still_open(self, serve: Serve, server_class: type[BaseServer]) -> None:
        reports = []
        reported = threading.Event()

        def handle_error(self: Any, request: Any, client_address: Any) -> None:
            reports.append((request.getsockname(), client_address))
            reported.set()

        listening = type("Reporting", (server_class,), {"handle_error": handle_error})
        service = serve(listening, failing_once(Upper, "handle"))
        client_address = service.client.getsockname()
        assert reported.wait(30)
        assert reports == [(service.address, client_address)]

    def test_on_the_instance_is_honoured(self, serve: Serve) -> None:
        reported = threading.Event()
        service = serve(ThreadingTCPServer, failing_once(Upper, "handle"))
        service.server.handle_error = lambda request, client_address: reported.set()  # type: ignore[method-assign]
        service.exchange(b"")
        assert reported.wait(30)

    def test_may_let_the_exception_out(self) -> None:
        """A bare `raise` ends `handle_request` with the handler's exception, and the connection is closed."""

        class Raising(TCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                raise

        server = Raising(("127.0.0.1", 0), failing_once(Upper, "handle", Broken("of the handler")))
        with server, connected_to(server) as client, no_leaks():
            with pytest.raises(Broken, match="of the handler"):
                server.handle_request()
            assert client.recv(1) == b""

    def test_logs_the_exception_with_the_client(self, serve: Serve, log: list[logging.LogRecord]) -> None:
        service = serve(ThreadingTCPServer, failing_once(Upper, "handle", Broken("of the handler")))
        host, port = service.client.getsockname()
        assert service.client.recv(1) == b""
        service.server.drain()
        (record,) = log
        assert record.levelno == logging.ERROR
        assert record.getMessage() == f"request from {host}:{port} failed"
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], Broken)

    @pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, ConnectionAbortedError])
    def test_is_quiet_when_the_client_has_hung_up(
        self, serve: Serve, log: list[logging.LogRecord], error: type[OSError]
    ) -> None:
        service = serve(ThreadingTCPServer, failing_once(Upper, "handle", error(errno.EPIPE, "gone")))
        with events_of(RequestFailed) as events:
            host, port = service.client.getsockname()
            assert service.client.recv(1) == b""
            service.server.drain()
        (record,) = log
        assert record.levelno == logging.DEBUG
        assert record.getMessage() == f"{host}:{port} hung up: [Errno {errno.EPIPE}] gone"
        assert record.exc_info is None
        assert service.server.stats().failed == 0
        assert events == []

    def test_is_quiet_about_a_real_reset(self, serve: Serve, log: list[logging.LogRecord]) -> None:
        began = threading.Event()

        class Reading(BaseRequestHandler):
            def handle(self) -> None:
                began.set()
                self.request.recv(1)

        service = serve(ThreadingTCPServer, Reading)
        client = socket.create_connection(service.address, 30)
        assert began.wait(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        service.server.drain()
        (record,) = log
        assert (record.levelno, record.exc_info) == (logging.DEBUG, None)
        assert "hung up: [Errno 104] Connection reset by peer" in record.getMessage()

    def test_is_told_of_with_the_exception(self, serve: Serve) -> None:
        error = Broken("of the handler")
        with events_of(RequestFailed) as events:
            service = serve(ThreadingTCPServer, failing_once(Upper, "handle", error))
            address = service.client.getsockname()
            event = events.wait_for(RequestFailed)
        assert (event.error, event.client_address) == (error, address)


@pytest.mark.usefixtures("_unlogged")
class TestAThreadThatCannotStart:
    """A system without threads left costs one connection at a time, and the server recovers by itself."""

    @pytest.fixture
    def failures(self, monkeypatch: pytest.MonkeyPatch) -> list[RuntimeError]:
        """Return errors that the next threads raise at their start, the last of the list first."""
        errors: list[RuntimeError] = []
        start = RequestThread.start

        def failing_start(thread: RequestThread) -> None:
            if errors:
                raise errors.pop()
            start(thread)

        monkeypatch.setattr(RequestThread, "start", failing_start)
        return errors

    @pytest.mark.parametrize("server_class", [ThreadingTCPServer, ThreadPoolTCPServer])
    def test_costs_its_connection(
        self, serve: Serve, failures: list[RuntimeError], server_class: type[BaseServer]
    ) -> None:
        service = serve(server_class, Upper)
        failures.append(RuntimeError("can't start new thread"))
        assert service.exchange(b"hello\n") == b""
        assert service.exchange(b"hello\n") == b"HELLO\n"
        assert eventually(lambda: service.server.stats().active == 0)
        assert service.server.stats().failed == 1

    def test_pauses_accepting_and_tells_once(self, serve: Serve, failures: list[RuntimeError]) -> None:
        service = serve(ThreadingTCPServer, Upper)
        failures.extend(RuntimeError("can't start new thread") for _ in range(4))
        with events_of(AcceptFailed, ListenerSuspended, ListenerResumed) as events:
            for _ in range(4):
                assert service.exchange(b"hello\n") == b""
            assert service.exchange(b"hello\n") == b"HELLO\n"
            assert events.wait_for(ListenerSuspended).reason == "resources"
            events.wait_for(ListenerResumed)
        assert [(event.kind, str(event.error)) for event in events.of(AcceptFailed)] == [
            ("resources", "can't start new thread")
        ]

    def test_does_not_stay_in_the_list_of_threads(self, failures: list[RuntimeError]) -> None:
        with ThreadingTCPServer(("127.0.0.1", 0), Upper) as server, connected_to(server) as client:
            failures.append(RuntimeError("can't start new thread"))
            server.handle_request()
            assert client.recv(1) == b""
            assert list(server._threads) == []

    def test_does_not_use_up_a_pool(self, serve: Serve, failures: list[RuntimeError]) -> None:
        service = serve(ThreadPoolTCPServer, Upper, pool_size=1)
        failures.append(RuntimeError("can't start new thread"))
        assert service.exchange(b"hello\n") == b""
        assert service.exchange(b"hello\n") == b"HELLO\n"


@pytest.mark.usefixtures("_unlogged")
def test_a_request_that_fails_hundreds_of_times_leaves_nothing() -> None:
    def fail(*_arguments: object) -> None:
        raise Broken

    with no_leaks(), serving(ThreadingTCPServer, fail) as service:
        for _ in range(200):
            assert service.exchange(b"") == b""
    assert service.server.stats().failed == 200


@pytest.mark.usefixtures("_unlogged")
def test_a_fork_that_fails_costs_one_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(ForkingTCPServer, Upper)
    with monkeypatch.context() as patch:

        def fork() -> int:
            raise BlockingIOError(errno.EAGAIN, "no process left")

        patch.setattr(os, "fork", fork)
        assert service.exchange(b"hello\n") == b""
    assert service.exchange(b"hello\n") == b"HELLO\n"
    assert service.server.stats().failed == 1


@pytest.mark.usefixtures("_unlogged")
def test_a_real_socket_that_breaks_in_the_middle_costs_its_request(serve: Serve) -> None:
    class Breaking(ThreadingTCPServer):
        breaks = True

        def get_request(self) -> tuple[Any, Any]:
            request, client_address = super().get_request()
            if self.breaks:
                self.breaks = False
                request = FaultySocket(request, sendall=[2])
            return request, client_address

    service = serve(Breaking, Upper)
    assert service.exchange(b"hello\n") == b"HE"
    assert service.exchange(b"hello\n") == b"HELLO\n"


@pytest.mark.usefixtures("_unlogged")
def test_other_threads_go_on_while_one_fails(serve: Serve) -> None:
    class Failing(Upper):
        def setup(self) -> None:
            super().setup()
            if self.rfile.readline() == b"fail\n":
                raise Broken

    service = serve(ThreadingTCPServer, Failing)
    service.client.sendall(b"stay\none\n")
    assert service.client.recv(100) == b"ONE\n"
    assert Background(service.exchange, b"fail\n").result() == b""
    service.client.sendall(b"two\n")
    assert service.client.recv(100) == b"TWO\n"
