"""Programs whose handlers do more with their request than to read and write."""

from __future__ import annotations

import io
import queue
import re
import select
import socket
import socketserver as standard
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import socketserver
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually

TIMEOUT = 30
STREAM_SERVERS = [socketserver.TCPServer, socketserver.ThreadingTCPServer, socketserver.ForkingTCPServer]


def handler(base: Any = socketserver.StreamRequestHandler, **members: Any) -> Any:
    """Return a handler class with these members."""
    return type("Handler", (base,), members)


class TestReading:
    @pytest.mark.parametrize("server_class", STREAM_SERVERS)
    def test_from_the_request_ahead_of_the_file(self, serve: Serve, server_class: Any) -> None:
        """Programs `recv` a header of fixed length, and read on by `rfile`: nothing is read ahead of them."""

        def handle(self: Any) -> None:
            header = self.request.recv(4)
            self.wfile.write(header + b"|" + self.rfile.readline())

        assert serve(server_class, handler(handle=handle)).exchange(b"headline\nmore") == b"head|line\n"

    @pytest.mark.parametrize("server_class", STREAM_SERVERS)
    def test_waits_though_the_loop_does_not(self, serve: Serve, server_class: Any) -> None:
        """A request is a plain blocking socket, whatever the server does to its listener."""

        def handle(self: Any) -> None:
            self.request.sendall(f"{self.request.gettimeout()} {type(self.request) is socket.socket}\n".encode())
            self.request.sendall(self.request.recv(100).upper())

        client = serve(server_class, handler(socketserver.BaseRequestHandler, handle=handle)).client
        assert client.recv(100) == b"None True\n"
        client.sendall(b"late")
        assert client.recv(100) == b"LATE"

    def test_what_there_is_of_a_socket_that_does_not_wait(self, serve: Serve) -> None:
        """Programs select on `rfile`, and read lines from a socket that they made non-blocking."""
        lines: list[Any] = []

        def handle(self: Any) -> None:
            self.request.setblocking(False)
            assert self.rfile.fileno() == self.request.fileno()
            self.wfile.write(b"ready\n")
            while select.select([self.rfile], [], [], TIMEOUT)[0]:
                lines.append(self.rfile.readline())
                if lines[-1] == b"":
                    return

        client = serve(socketserver.ThreadingTCPServer, handler(handle=handle)).client
        assert client.recv(100) == b"ready\n"
        client.sendall(b"half a ")
        assert eventually(lambda: lines == [b"half a "])
        client.sendall(b"line\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
        assert lines == [b"half a ", b"line\n", b""]


class TestWriting:
    def test_at_once_and_whole(self, serve: Serve) -> None:
        """Programs write and wait for the answer with no flush between, and count what `write` returns."""
        whole = b"0123456789" * 400_000

        def handle(self: Any) -> None:
            assert self.wfile.write(memoryview(b"who?")) == 4
            assert self.rfile.readline() == b"me\n"
            assert self.wfile.write(whole) == len(whole)
            assert isinstance(self.wfile, io.BufferedIOBase)
            assert self.wfile.writable()
            assert self.wfile.fileno() == self.request.fileno()
            self.wfile.write(b"all held")

        client = serve(socketserver.ThreadingTCPServer, handler(handle=handle)).client
        assert client.recv(100) == b"who?"
        client.sendall(b"me\n")
        assert client.makefile("rb").read() == whole + b"all held"

    def test_through_a_text_file(self, serve: Serve) -> None:
        """Programs wrap `wfile` in a `TextIOWrapper`, which asks for more than `write`."""

        def handle(self: Any) -> None:
            text = io.TextIOWrapper(self.wfile, "utf-8", line_buffering=True)
            print("zwölf", file=text)
            text.detach()

        service = serve(socketserver.ThreadingTCPServer, handler(handle=handle))
        assert service.exchange(b"") == "zwölf\n".encode()

    def test_into_a_buffer(self, serve: Serve) -> None:
        """With `wbufsize` programs collect a whole answer: nothing leaves until `flush` or the end."""

        def handle(self: Any) -> None:
            self.wfile.write(b"one ")
            self.request.sendall(b"zero ")
            self.wfile.flush()
            self.wfile.write(b"two")

        service = serve(socketserver.ThreadingTCPServer, handler(handle=handle, wbufsize=4096))
        assert service.exchange(b"") == b"zero one two"


class TestSetupAndFinish:
    def test_setup_that_fails_has_no_finish(self) -> None:
        """Programs free in `finish` what `setup` made, and count on it having been made."""
        calls: list[str] = []

        def setup(self: Any) -> None:
            calls.append("setup")
            raise LookupError("in setup")

        with pytest.raises(LookupError, match="in setup"):
            handler(
                socketserver.BaseRequestHandler,
                setup=setup,
                handle=lambda self: calls.append("handle"),
                finish=lambda self: calls.append("finish"),
            )(None, "", None)
        assert calls == ["setup"]

    @pytest.mark.parametrize("error", [LookupError, SystemExit, KeyboardInterrupt])
    def test_finish_follows_whatever_handle_raises(self, error: type[BaseException]) -> None:
        """Programs undo in `finish` what `handle` began."""
        calls: list[str] = []

        def handle(self: Any) -> None:
            raise error

        with pytest.raises(error):
            handler(socketserver.BaseRequestHandler, handle=handle, finish=lambda self: calls.append("finish"))(
                None, "", None
            )
        assert calls == ["finish"]

    @pytest.mark.parametrize("wbufsize", [0, -1])
    @pytest.mark.parametrize(
        "end",
        [
            lambda self: self.finish(),
            lambda self: Background(self.finish).result(),
            lambda self: (self.rfile.close(), self.wfile.close()),
            lambda self: self.wfile.close(),
            lambda self: self.request.close(),
            lambda self: (self.request.shutdown(socket.SHUT_RDWR), self.request.close()),
        ],
        ids=["finish", "finish elsewhere", "both files", "one file", "request", "all"],
    )
    def test_handle_may_end_the_conversation_itself(self, serve: Serve, end: Any, wbufsize: int) -> None:
        """Programs close what they were given, call `finish` ahead of its time, or from another thread."""
        errors: list[object] = []

        class Noting(socketserver.ThreadingTCPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                errors.append(request)

        def handle(self: Any) -> None:
            self.wfile.write(b"bye\n")
            self.wfile.flush()
            end(self)

        service = serve(Noting, handler(handle=handle, wbufsize=wbufsize))
        assert service.client.makefile("rb").read() == b"bye\n"
        service.server.drain()
        assert errors == []

    def test_finish_may_do_nothing(self, serve: Serve) -> None:
        """Programs override `finish` without calling the base's; the connection ends all the same."""
        service = serve(socketserver.ThreadingTCPServer, handler(handle=lambda self: None, finish=lambda self: None))
        assert service.client.recv(1) == b""


class TestFiles:
    """`rfile` and `wfile` that are handed away or replaced."""

    def test_replaced_in_setup(self, serve: Serve) -> None:
        """Programs put objects of their own in their place, and read in the end what was written."""
        written: queue.SimpleQueue[bytes] = queue.SimpleQueue()

        class Captured(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    written.put(self.getvalue())
                super().close()

        def setup(self: Any) -> None:
            socketserver.StreamRequestHandler.setup(self)
            self.rfile.close()
            self.rfile, self.wfile = io.BytesIO(b"one\ntwo\n"), Captured()

        def handle(self: Any) -> None:
            for line in self.rfile:
                self.wfile.write(line.upper())

        service = serve(socketserver.ThreadingTCPServer, handler(setup=setup, handle=handle))
        assert service.exchange(b"") == b""
        assert written.get(timeout=TIMEOUT) == b"ONE\nTWO\n"

    def test_handed_to_another_thread(self, serve: Serve) -> None:
        """Programs that forward both ways give `wfile` to one thread, and read by `rfile` in the other."""

        def handle(self: Any) -> None:
            lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            writer = threading.Thread(target=lambda: [self.wfile.write(line) for line in iter(lines.get, b"")])
            writer.start()
            for line in self.rfile:
                lines.put(line.upper())
            lines.put(b"")
            writer.join(TIMEOUT)

        service = serve(socketserver.ThreadingTCPServer, handler(handle=handle))
        assert service.exchange(b"one\ntwo\n") == b"ONE\nTWO\n"


class Line(socketserver.StreamRequestHandler):
    """Answers with what it knows, and the line that came; `greeting` is there before the base's constructor."""

    wbufsize = -1

    def __init__(self, *arguments: Any, greeting: str = "hello") -> None:
        self.greeting = greeting
        super().__init__(*arguments)

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        self.wfile.write(f"{self.greeting} {self.server} {self.client_address} {line}".encode())


class TestForeignServers:
    """Handlers that no server of ours calls."""

    @pytest.mark.parametrize("server", [None, "a string", object()], ids=["none", "string", "object"])
    @pytest.mark.parametrize("client_address", [("127.0.0.1", 1, 2), "", None])
    def test_with_a_mock_that_has_only_makefile(self, server: Any, client_address: Any) -> None:
        """Tests of programs give a request whose `makefile` returns a file in memory, and little else."""
        written: list[bytes] = []

        class Captured(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    written.append(self.getvalue())
                super().close()

        def makefile(mode: str, size: int) -> io.BytesIO:
            return io.BytesIO(b"line\n") if mode == "rb" else Captured()

        Line(SimpleNamespace(makefile=makefile), client_address, server)
        assert written == [f"hello {server} {client_address} line\n".encode()]

    def test_of_the_standard_library(self) -> None:
        """Programs mix: a server that is not ours with a handler that is."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(b"line\n")
            handler_class: Any = Line
            standard.BaseServer("nowhere", handler_class).finish_request(theirs, "")
            assert re.fullmatch(rb"hello <socketserver.BaseServer object .*>  line\n", ours.recv(1000))

    def test_of_datagrams(self) -> None:
        """A datagram's handler replies with what was written, even nothing, by the socket that it was given."""
        sent: list[tuple[bytes, Any]] = []
        sock = SimpleNamespace(sendto=lambda data, address: sent.append((data, address)))
        for words in (b"some words", b""):
            handler(socketserver.DatagramRequestHandler, handle=lambda self, words=words: self.wfile.write(words))(
                (b"question", sock), ("127.0.0.1", 1), None
            )
        assert sent == [(b"some words", ("127.0.0.1", 1)), (b"", ("127.0.0.1", 1))]
