"""The handler classes: the order of their methods, and the files that they give a handler."""

from __future__ import annotations

import array
import io
import itertools
import os
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from doorkeep import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from doorkeep.handlers import caller_of
from doorkeep.testing import FaultySocket, converse
from tests.background import Background

ADDRESS = ("127.0.0.1", 12345)
Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a connection's two ends, the handler's first."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(30)
        yield ours, theirs


@pytest.fixture
def tcp_pair() -> Iterator[Pair]:
    """Return the two ends of a TCP connection, the handler's first."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as theirs:
        ours, _ = listener.accept()
        with ours:
            theirs.settimeout(30)
            yield ours, theirs


def handling(handle: Callable[[Any], object], base: type = StreamRequestHandler, **attributes: Any) -> Any:
    """Return a handler class whose `handle` is a function."""
    return type("Handling", (base,), {"handle": handle, **attributes})


class TestOrder:
    def test_setup_handle_finish(self) -> None:
        calls: list[tuple[Any, ...]] = []

        class Noting(BaseRequestHandler):
            def setup(self) -> None:
                calls.append(("setup", self.request, self.client_address, self.server))

            def handle(self) -> None:
                calls.append(("handle",))

            def finish(self) -> None:
                calls.append(("finish",))

        Noting("a request", "an address", "a server")
        assert calls == [("setup", "a request", "an address", "a server"), ("handle",), ("finish",)]

    def test_finish_follows_a_handle_that_fails(self) -> None:
        finish = mock.Mock()

        def handle(self: object) -> None:
            raise LookupError

        with pytest.raises(LookupError):
            handling(handle, BaseRequestHandler, finish=finish)(None, ADDRESS, None)
        finish.assert_called_once_with()

    def test_no_finish_follows_a_setup_that_fails(self) -> None:
        finish = mock.Mock()
        handle = mock.Mock()
        setup = mock.Mock(side_effect=LookupError)
        with pytest.raises(LookupError):
            handling(handle, BaseRequestHandler, setup=setup, finish=finish)(None, ADDRESS, None)
        handle.assert_not_called()
        finish.assert_not_called()

    def test_the_base_does_nothing(self) -> None:
        handler = BaseRequestHandler(None, ADDRESS, None)
        assert vars(handler) == {"request": None, "client_address": ADDRESS, "server": None}


class TestReading:
    def test_nothing_is_read_ahead(self, pair: Pair) -> None:
        ours, theirs = pair
        theirs.sendall(b"head\nbody")
        theirs.shutdown(socket.SHUT_WR)
        read = []

        def handle(self: Any) -> None:
            read.append(self.request.recv(5))
            read.append(self.rfile.read())

        handling(handle)(ours, ADDRESS, None)
        assert read == [b"head\n", b"body"]

    def test_rfile_is_buffered(self) -> None:
        kinds = []

        def handle(self: Any) -> None:
            kinds.append(type(self.rfile))

        converse(handling(handle), b"")
        converse(handling(handle, rbufsize=0), b"")
        assert issubclass(kinds[0], io.BufferedReader)
        assert not issubclass(kinds[1], io.BufferedReader)

    def test_rfile_has_the_descriptor_of_the_connection(self, pair: Pair) -> None:
        ours, _ = pair
        numbers = []
        handling(lambda self: numbers.append((self.rfile.fileno(), self.wfile.fileno())))(ours, ADDRESS, None)
        assert numbers == [(ours.fileno(), ours.fileno())]

    def test_a_timeout_of_the_class_is_set_on_the_connection(self, pair: Pair) -> None:
        ours, _ = pair

        def handle(self: Any) -> None:
            assert self.connection.gettimeout() == 0.001
            with pytest.raises(TimeoutError):
                self.rfile.readline()

        handling(handle, timeout=0.001)(ours, ADDRESS, None)

    def test_without_a_timeout_the_connection_keeps_its_own(self, pair: Pair) -> None:
        ours, _ = pair
        ours.settimeout(7)
        seen = []
        handling(lambda self: seen.append(self.connection.gettimeout()))(ours, ADDRESS, None)
        assert seen == [7]

    @pytest.mark.parametrize("disabled", [False, True])
    def test_nagles_algorithm_may_be_disabled(self, tcp_pair: Pair, disabled: bool) -> None:
        ours, _ = tcp_pair
        handling(lambda self: None, disable_nagle_algorithm=disabled)(ours, ADDRESS, None)
        assert bool(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is disabled


class TestWriting:
    def test_each_write_is_sent_at_once(self, pair: Pair) -> None:
        ours, theirs = pair

        def handle(self: Any) -> None:
            assert self.wfile.write(b"one") == 3
            assert theirs.recv(100) == b"one"
            assert self.wfile.write(b"two") == 3
            assert theirs.recv(100) == b"two"

        handling(handle)(ours, ADDRESS, None)

    def test_a_write_is_whole_though_the_reader_is_slow(self, pair: Pair) -> None:
        ours, theirs = pair
        data = os.urandom(5_000_000)
        writing = Background(handling(lambda self: self.wfile.write(data)), ours, ADDRESS, None)
        received = bytearray()
        while len(received) < len(data):
            received += theirs.recv(65536)
        writing.result()
        assert received == data

    def test_a_write_returns_bytes_not_items(self) -> None:
        lengths = []
        numbers = array.array("i", [1, 2, 3])

        def handle(self: Any) -> None:
            lengths.append(self.wfile.write(numbers))
            lengths.append(self.wfile.write(memoryview(numbers)))
            lengths.append(self.wfile.write(b""))

        assert converse(handling(handle), b"") == numbers.tobytes() * 2
        assert lengths == [3 * numbers.itemsize, 3 * numbers.itemsize, 0]

    def test_wfile_is_a_file_of_its_kind(self) -> None:
        def handle(self: Any) -> None:
            self.wfile.writelines([b"one", b"two"])
            io.TextIOWrapper(self.wfile, write_through=True).write("three")
            assert self.wfile.writable()
            assert not self.wfile.readable()
            assert isinstance(self.wfile, io.BufferedIOBase)

        assert converse(handling(handle), b"") == b"onetwothree"

    def test_a_buffered_wfile_is_sent_when_the_handler_has_finished(self, pair: Pair) -> None:
        ours, theirs = pair
        sends = FaultySocket(ours, send=())

        def handle(self: Any) -> None:
            for _ in range(10):
                self.wfile.write(b"one ")
            assert sends.calls["send"] == 0

        with sends:
            handling(handle, wbufsize=1000)(sends, ADDRESS, None)
            assert theirs.recv(100) == b"one " * 10

    def test_a_buffer_that_nobody_wants_any_more_is_dropped(self, tcp_pair: Pair) -> None:
        ours, _ = tcp_pair
        with FaultySocket(ours, send=itertools.repeat(BrokenPipeError())) as broken:
            handling(lambda self: self.wfile.write(b"late"), wbufsize=-1)(broken, ADDRESS, None)
            assert broken.calls["send"] > 0
        assert broken.fileno() == -1


class TestFinish:
    """`finish` copes with whatever the handler did to its files."""

    @pytest.mark.parametrize("wbufsize", [0, -1])
    @pytest.mark.parametrize(
        "handle",
        [
            lambda self: self.rfile.close(),
            lambda self: self.wfile.close(),
            lambda self: self.request.close(),
            lambda self: self.finish(),
            lambda self: Background(self.finish).result(),
        ],
        ids=["closed rfile", "closed wfile", "closed request", "finished", "finished in a thread"],
    )
    def test_after(self, pair: Pair, handle: Callable[[Any], object], wbufsize: int) -> None:
        ours, theirs = pair
        handling(handle, wbufsize=wbufsize)(ours, ADDRESS, None)
        ours.close()
        assert theirs.recv(1) == b""

    def test_files_may_be_replaced(self) -> None:
        written = io.BytesIO()

        def handle(self: Any) -> None:
            self.rfile, self.wfile = io.BytesIO(b"instead"), written
            self.wfile.write(self.rfile.read())
            assert written.getvalue() == b"instead"

        assert converse(handling(handle), b"unread") == b""
        assert written.closed

    def test_files_may_be_handed_on(self, pair: Pair) -> None:
        """A handler that gives its connection away overrides `finish`, and the files live on."""
        ours, theirs = pair
        kept = []
        handling(lambda self: kept.append((self.rfile, self.wfile)), finish=lambda self: None)(ours, ADDRESS, None)
        ((rfile, wfile),) = kept
        theirs.sendall(b"later\n")
        assert rfile.readline() == b"later\n"
        wfile.write(b"too\n")
        assert theirs.recv(100) == b"too\n"
        rfile.close()


def call_handler(kind: Any, request: Any, client_address: Any, server: Any) -> None:
    kind(request, client_address, server)


def call_as_servers_do(kind: Any, request: Any, client_address: Any, server: Any) -> None:
    caller_of(kind)(kind, request, client_address, server)


@pytest.mark.parametrize("call", [call_handler, call_as_servers_do])
class TestDatagrams:
    @pytest.fixture(autouse=True)
    def choose(self, call: Callable[..., None]) -> None:
        self.call = call

    def reply_of(self, handler: Any, server: Any, client_address: Any = ADDRESS) -> list[Any]:
        """Return the calls of `sendto` that a handler makes for a datagram."""
        sock = mock.Mock()
        self.call(handler, (b"ping", sock), client_address, server)
        return list(sock.sendto.call_args_list)

    def test_packet_socket_and_files(self) -> None:
        def handle(self: Any) -> None:
            assert self.packet == b"ping"
            assert self.socket is self.request[1]
            assert self.rfile.read() == b"ping"
            assert not self.truncated
            self.wfile.write(b"po")
            self.wfile.write(b"ng")

        assert self.reply_of(handling(handle, DatagramRequestHandler), None) == [mock.call(b"pong", ADDRESS)]

    def test_nothing_written_is_an_empty_reply(self) -> None:
        assert self.reply_of(DatagramRequestHandler, None) == [mock.call(b"", ADDRESS)]
        assert self.reply_of(DatagramRequestHandler, object()) == [mock.call(b"", ADDRESS)]

    def test_nothing_written_may_be_no_reply(self) -> None:
        server = SimpleNamespace(reply_when_empty=False)
        assert self.reply_of(DatagramRequestHandler, server) == []
        answering = handling(lambda self: self.wfile.write(b"pong"), DatagramRequestHandler)
        assert self.reply_of(answering, server) == [mock.call(b"pong", ADDRESS)]

    @pytest.mark.parametrize("nobody", [None, ""])
    def test_a_client_without_a_name_is_sent_no_empty_reply(self, nobody: Any) -> None:
        assert self.reply_of(DatagramRequestHandler, None, nobody) == []

    def test_a_handler_that_fails_has_replied(self) -> None:
        def handle(self: Any) -> None:
            self.wfile.write(b"so far")
            raise LookupError

        sock = mock.Mock()
        with pytest.raises(LookupError):
            self.call(handling(handle, DatagramRequestHandler), (b"ping", sock), ADDRESS, None)
        assert sock.sendto.call_args_list == [mock.call(b"so far", ADDRESS)]

    @pytest.mark.parametrize("base", [BaseRequestHandler, StreamRequestHandler, DatagramRequestHandler])
    @pytest.mark.parametrize("steps", [["__new__"], ["__init__"], ["setup"], ["finish"], ["setup", "handle", "finish"]])
    def test_steps_of_ones_own_are_taken(self, base: Any, steps: list[str]) -> None:
        taken = []

        def of_ones_own(name: str) -> Any:
            def step(self: Any, *arguments: Any) -> Any:
                taken.append(name)
                return getattr(base, name)(self, *arguments) if name != "__new__" else object.__new__(self)

            return step

        kind = type("Own", (base,), {name: of_ones_own(name) for name in steps})
        self.call(kind, (b"ping", mock.Mock()) if base is not StreamRequestHandler else mock.Mock(), ADDRESS, None)
        assert taken == steps

    @pytest.mark.parametrize("kind", [DatagramRequestHandler, type("Subclass", (DatagramRequestHandler,), {})])
    def test_steps_may_be_replaced_later(self, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.reply_of(kind, None) == [mock.call(b"", ADDRESS)]

        def setup(self: Any) -> None:
            self.socket = self.request[1]
            self.wfile = io.BytesIO(b"other")

        monkeypatch.setattr(kind, "setup", setup)
        assert self.reply_of(kind, None) == [mock.call(b"other", ADDRESS)]

    def test_whatever_can_be_called_handles(self) -> None:
        class Meta(type):
            def __call__(cls, *arguments: Any) -> None:
                seen.append(arguments)

        seen: list[Any] = []
        for kind in (lambda *arguments: seen.append(arguments), Meta("Kind", (DatagramRequestHandler,), {})):
            self.call(kind, (b"ping", None), ADDRESS, None)
        assert seen == [((b"ping", None), ADDRESS, None)] * 2

    def test_a_coroutine_is_refused(self) -> None:
        async def handle(self: Any) -> None:
            return None

        with pytest.raises(TypeError, match="must mix in AsyncMixIn"):
            self.call(handling(handle, DatagramRequestHandler), (b"ping", None), ADDRESS, None)


def test_tls_is_none_on_a_plain_connection() -> None:
    seen = []
    converse(handling(lambda self: seen.append(self.tls)), b"")
    assert seen == [None]


def test_handlers_need_no_server_of_ours() -> None:
    """Any object as server, an address of another form, a mock with only `makefile` as request."""
    request = mock.Mock(spec=["makefile", "sendall"])
    request.makefile.return_value = io.BytesIO(b"line\n")
    handler = handling(lambda self: self.wfile.write(self.rfile.readline().upper()))
    handler(request, ("10.0.0.1", 1, "more"), object())
    request.sendall.assert_called_once_with(b"LINE\n")


def test_attributes_may_be_set_before_the_constructor() -> None:
    seen = []

    class Early(BaseRequestHandler):
        def __init__(self, request: Any, client_address: Any, server: Any) -> None:
            self.early = "set"
            super().__init__(request, client_address, server)

        def handle(self) -> None:
            seen.append(self.early)

    Early(None, ADDRESS, None)
    assert seen == ["set"]


def test_handlers_of_many_threads_do_not_share() -> None:
    barrier = threading.Barrier(4, timeout=30)

    def handle(self: Any) -> None:
        line = self.rfile.readline()
        barrier.wait()
        self.wfile.write(line.upper())

    conversations = [Background(converse, handling(handle), b"line %d" % number) for number in range(4)]
    assert [conversation.result() for conversation in conversations] == [b"LINE %d" % number for number in range(4)]
