"""Programs that hook into a request's way, or take it over."""

from __future__ import annotations

import functools
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from doorkeep import socketserver
from doorkeep.testing.plugin import Serve
from tests.background import Background
from tests.clients import connected_to
from tests.sample_handlers import Upper

LOOPBACK = ("127.0.0.1", 0)
TIMEOUT = 30


class Greeter(socketserver.BaseRequestHandler):
    """Greets with a word that a factory gives it."""

    def __init__(self, request: Any, client_address: Any, server: Any, word: bytes = b"hello") -> None:
        self.word = word  # before the base's constructor, which handles
        super().__init__(request, client_address, server)

    def handle(self) -> None:
        self.request.sendall(self.word)


class Program:
    """Handles requests by a method of its own."""

    def greet(self, its_socket: Any, its_address: Any, its_server: Any, /) -> None:
        its_socket.sendall(b"hello")


class TestHandlerClass:
    """What stands in `RequestHandlerClass`: anything that can be called with three arguments."""

    @pytest.mark.parametrize(
        "handler",
        [
            Greeter,
            functools.partial(Greeter, word=b"hello"),
            lambda request, client_address, server: Greeter(request, client_address, server, b"hello"),
            Program().greet,
        ],
        ids=["class", "partial", "lambda", "bound method"],
    )
    @pytest.mark.parametrize(
        "server_class", [socketserver.TCPServer, socketserver.ThreadingTCPServer, socketserver.ForkingTCPServer]
    )
    def test_may_be(self, serve: Serve, handler: Callable[..., Any], server_class: Any) -> None:
        """Programs hand over partials and lambdas to give their handlers more than a request."""
        assert serve(server_class, handler).exchange(b"") == b"hello"

    def test_may_be_another_later(self, serve: Serve) -> None:
        """Programs assign the attribute, or attributes of the class, once the server is there."""

        class Own(Greeter):
            """To be changed."""

        service = serve(socketserver.ThreadingTCPServer, None)  # type: ignore[arg-type]  # as programs do
        service.server.RequestHandlerClass = Own
        assert service.exchange(b"") == b"hello"
        Own.handle = lambda self: self.request.sendall(b"changed")  # type: ignore[method-assign]  # as programs do
        assert service.exchange(b"") == b"changed"


class TestTakenOver:
    """A request that a program takes over stays open until the program closes it."""

    def test_by_a_pool_of_the_programs_own(self, serve: Serve) -> None:
        """Programs submit `process_request_thread` to an executor: once for each request, from its threads."""
        steps: queue.SimpleQueue[tuple[str, Any, bool]] = queue.SimpleQueue()
        with ThreadPoolExecutor(2, "own pool") as pool:

            class Pooled(socketserver.ThreadingTCPServer):
                def process_request(self, request: Any, client_address: Any) -> None:
                    steps.put(("process_request", client_address, self._in_pool()))
                    pool.submit(self.process_request_thread, request, client_address)

                def process_request_thread(self, request: Any, client_address: Any) -> None:
                    steps.put(("process_request_thread", client_address, self._in_pool()))
                    super().process_request_thread(request, client_address)

                @staticmethod
                def _in_pool() -> bool:
                    return threading.current_thread().name.startswith("own pool")

            service = serve(Pooled, Upper)
            for _ in range(3):
                with service.connect() as client:
                    address = client.getsockname()
                    client.sendall(b"hello\n")
                    assert client.recv(100) == b"HELLO\n"
                assert steps.get(timeout=TIMEOUT) == ("process_request", address, False)
                assert steps.get(timeout=TIMEOUT) == ("process_request_thread", address, True)
            assert steps.empty()

    @pytest.mark.parametrize("server_class", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
    def test_by_a_queue(self, serve: Serve, server_class: Any) -> None:
        """Programs put requests into a queue in `process_request`, and handle them elsewhere, much later."""
        taken: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()

        class Queueing(server_class):  # type: ignore[misc]  # a base that is known only now
            def process_request(self, request: Any, client_address: Any) -> None:
                taken.put((request, client_address))

        service = serve(Queueing, Upper)
        clients = [service.connect() for _ in range(3)]
        requests = [taken.get(timeout=TIMEOUT) for _ in clients]
        service.server.shutdown()
        for client, (request, client_address) in zip(clients, requests, strict=True):
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            service.server.finish_request(request, client_address)
            service.server.shutdown_request(request)
            assert client.recv(100) == b"HELLO\n"
            assert client.recv(1) == b""

    def test_by_an_own_process_request_thread(self, serve: Serve) -> None:
        """Programs that keep connections override `process_request_thread`, and it returns with the socket open."""
        kept: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

        class Keeping(socketserver.ThreadingTCPServer):
            def process_request_thread(self, request: Any, client_address: Any) -> None:
                request.sendall(b"welcome\n")
                kept.put(request)

        service = serve(Keeping, Upper)
        assert service.client.recv(100) == b"welcome\n"
        with kept.get(timeout=TIMEOUT) as connection:
            service.server.server_close()  # has waited for the thread
            connection.sendall(b"still here\n")
            assert service.client.recv(100) == b"still here\n"

    def test_by_another_name_on_the_instance(self, serve: Serve) -> None:
        """`process_request_thread` is looked up on the server for each request."""
        service = serve(socketserver.ThreadingTCPServer, Upper)
        assert service.exchange(b"hello\n") == b"HELLO\n"
        original = service.server.process_request_thread

        def greeting(request: Any, client_address: Any) -> None:
            request.sendall(b"welcome\n")
            original(request, client_address)

        service.server.process_request_thread = greeting  # type: ignore[method-assign]  # as programs do
        assert service.exchange(b"hello\n") == b"welcome\nHELLO\n"


class TestExceptionsInThreads:
    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
    def test_system_exit_reaches_the_hook_of_threading(
        self, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
    ) -> None:
        """Programs that watch `threading.excepthook` have heard of it when `server_close` returns."""
        heard: list[Any] = []
        handled: list[object] = []

        class Noting(socketserver.ThreadingTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                handled.append(request)

        def handler(*_arguments: object) -> None:
            raise error

        monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(arguments.exc_type))
        with Noting(LOOPBACK, handler) as server, connected_to(server) as client:
            server.handle_request()
            assert client.recv(1) == b""
        assert (heard, handled) == ([error], [])

    def test_a_bare_raise_in_handle_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tests override `handle_error` by `raise`, so that a failing handler is seen; the connection ends."""
        heard: list[str] = []

        class Raising(socketserver.ThreadingTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                raise

        def handler(*_arguments: object) -> None:
            raise LookupError("of the handler")

        monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(str(arguments.exc_value)))
        with Raising(LOOPBACK, handler) as server, connected_to(server) as client:
            server.handle_request()
            assert client.recv(1) == b""
        assert heard == ["of the handler"]


class TestMixIns:
    @pytest.mark.parametrize(
        ("mix_in", "server_class"),
        [
            (socketserver.ThreadingMixIn, socketserver.ThreadingTCPServer),
            (socketserver.ForkingMixIn, socketserver.ForkingTCPServer),
        ],
    )
    def test_are_known_by_isinstance(self, mix_in: type, server_class: type[socketserver.TCPServer]) -> None:
        """Programs ask for the mix-in to know how a server handles."""
        with server_class(LOOPBACK, Upper) as server:
            assert isinstance(server, mix_in)
            assert isinstance(server, socketserver.TCPServer)
        assert "__init__" not in vars(mix_in)

    @pytest.mark.parametrize("mix_in", [socketserver.ThreadingMixIn, socketserver.ForkingMixIn])
    def test_are_mixed_in_while_the_program_runs(self, serve: Serve, mix_in: type) -> None:
        """Programs make the class that they serve by with `type`, as their options say."""

        class Own(socketserver.TCPServer):
            def __init__(self, *arguments: Any, greeting: bytes = b"") -> None:
                super().__init__(*arguments)
                self.greeting = greeting

        server_class: Any = type("Mixed", (mix_in, Own), {})

        def handler(request: Any, client_address: Any, server: Any) -> None:
            request.sendall(server.greeting)

        assert serve(server_class, handler, greeting=b"mixed").exchange(b"") == b"mixed"


class TestOnTheInstance:
    """Hooks that programs assign to a server, not to its class."""

    def test_handle_timeout(self) -> None:
        """Programs give `handle_timeout` as a function: `server.handle_timeout = lambda: ...`."""
        calls: list[bool] = []
        with socketserver.TCPServer(LOOPBACK, Upper) as server:
            server.timeout = 0
            server.handle_timeout = lambda: calls.append(True)
            server.handle_request()
        assert calls == [True]

    @pytest.mark.parametrize("server_class", [socketserver.TCPServer, socketserver.ThreadingTCPServer])
    @pytest.mark.parametrize("hook", ["get_request", "verify_request", "finish_request", "shutdown_request"])
    @pytest.mark.parametrize("serving", [False, True], ids=["before serving", "while serving"])
    def test_of_a_request(self, server_class: type[socketserver.TCPServer], hook: str, serving: bool) -> None:
        """Tests wrap a hook of the server at hand, and the next request passes through it once."""
        calls: list[str] = []
        with server_class(LOOPBACK, Upper) as server:
            loop = Background(server.serve_forever) if serving else None
            if serving:
                self.exchange(server)
            original = getattr(server, hook)

            def wrapping(*arguments: Any) -> Any:
                calls.append(hook)
                return original(*arguments)

            setattr(server, hook, wrapping)
            loop = loop or Background(server.serve_forever)
            self.exchange(server)
            server.shutdown()
            loop.result()
        assert [call for call in calls if call != "get_request"] == [hook] * (hook != "get_request")
        assert calls

    @staticmethod
    def exchange(server: socketserver.BaseServer) -> None:
        with connected_to(server) as client:
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            assert client.makefile("rb").read() == b"HELLO\n"


class TestDatagrams:
    def test_a_request_is_a_tuple(self) -> None:
        """Programs unpack it, compare its type, and put another in its place."""
        seen: list[Any] = []

        class Decoding(socketserver.BaseRequestHandler):
            def setup(self) -> None:
                seen.append(self.request)
                self.request = (self.request[0].decode(), self.request[1])

            def handle(self) -> None:
                text, sock = self.request
                sock.sendto(text.upper().encode(), self.client_address)

        with socketserver.UDPServer(LOOPBACK, Decoding) as server, connected_to(server) as client:
            client.send("zwölf".encode())
            server.handle_request()
            assert client.recv(100) == "ZWÖLF".encode()
            assert seen == [("zwölf".encode(), server.socket)]
            assert type(seen[0]) is tuple
            assert type(seen[0][0]) is bytes
