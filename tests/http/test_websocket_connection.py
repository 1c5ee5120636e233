"""WebSockets that are open: messages in both directions, and all the ways to end."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from doorkeep import events
from doorkeep.green import Event
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.http.websocket import WebSocketClosed, WebSocketHandler
from doorkeep.http.websocket_connection import WebSocketConnection
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.http.encryption import encrypted
from tests.http.models import in_one_process, on_every_model
from tests.http.websocket_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    frame,
)
from tests.http.websocket_handlers import Crowd, Echo, noting, talk_to_the_crowd


def test_messages_in_fragments_with_pings_in_between(serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.send(frame(TEXT, "ä".encode()[:1], bits=0))
        client.send(frame(PING, b"there?"))
        assert client.receive() == Frame(8, PONG, b"there?")
        client.send(frame(CONTINUATION, b"", bits=0))
        client.send(frame(PONG, b"unasked"))
        client.send(frame(CONTINUATION, "ä".encode()[1:] + b"!"))
        assert client.receive() == Frame(8, TEXT, "ä!".encode())
        client.send(frame(BINARY, b"a", bits=0) + frame(CONTINUATION, b"b", bits=0) + frame(CONTINUATION))
        assert client.receive() == Frame(8, BINARY, b"ab")


def test_messages_of_no_bytes(serve: Serve) -> None:
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.send(frame(TEXT) + frame(BINARY))
        assert client.receive() == Frame(8, TEXT, b"")
        assert client.receive() == Frame(8, BINARY, b"")


@pytest.mark.parametrize("step", [1, 3])
def test_frames_that_come_in_pieces(step: int, serve: Serve) -> None:
    data = frame(TEXT, b"x" * 130) + frame(PING) + frame(CLOSE, close_payload(1000))
    with RawClient(serve(ThreadingHTTPServer, Echo).connect()) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        for start in range(0, len(data), step):
            client.send(data[start : start + step])
        assert client.receive() == Frame(8, TEXT, b"x" * 130)
        assert client.receive() == Frame(8, PONG, b"")
        assert client.close_code() == 1000


def test_sending_fragments(serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            self.send_fragments(iter(["one", "two"]))
            self.send_fragments([b"three"])
            self.send_fragments([])
            self.send(bytearray(b"bytes"))
            self.send(memoryview(b"view"))

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        assert [client.receive() for _ in range(7)] == [
            Frame(0, TEXT, b"one"),
            Frame(0, CONTINUATION, b"two"),
            Frame(8, CONTINUATION, b""),
            Frame(0, BINARY, b"three"),
            Frame(8, CONTINUATION, b""),
            Frame(8, BINARY, b"bytes"),
            Frame(8, BINARY, b"view"),
        ]
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.close_code() == 1000


@pytest.mark.parametrize("fragments", [["text", b"bytes"], [5], ["a", 5]])
def test_fragments_of_several_kinds_are_no_message(fragments: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            with pytest.raises(TypeError):
                self.send_fragments(fragments)
            with pytest.raises(TypeError):
                self.send(5)  # type: ignore[arg-type]  # that is what is tested
            self.close()

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        if fragments[0] != 5:
            assert client.receive() == Frame(0, TEXT, fragments[0].encode())
            assert client.close_code() == 1011
        else:
            client.send(frame(CLOSE))
            assert client.close_code() == 1000


def test_a_message_may_be_so_long(serve: Serve) -> None:
    class Small(Echo):
        max_message_size = 300

    served = serve(ThreadingHTTPServer, Small)
    with RawClient(served.connect()) as client:
        client.send(frame(TEXT, b"x" * 300))
        assert client.receive() == Frame(8, TEXT, b"x" * 300)
        client.send(frame(TEXT, b"x" * 200, bits=0) + frame(CONTINUATION, b"x" * 100))
        assert client.receive() == Frame(8, TEXT, b"x" * 300)
        client.send(frame(TEXT, b"x" * 301))
        assert client.close_code() == 1009
    with RawClient(served.connect()) as client:
        client.send(frame(TEXT, b"x" * 200, bits=0) + frame(CONTINUATION, b"x" * 101))
        assert client.close_code() == 1009
    with RawClient(served.connect()) as client:
        client.send(frame(BINARY, b"", length=2**62))  # refused for its head alone
        assert client.close_code() == 1009


# -- What is no WebSocket ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"hi", mask=None), 1002, id="not masked"),
        pytest.param(frame(TEXT, b"hi", bits=12), 1002, id="RSV1 without an extension"),
        pytest.param(frame(TEXT, b"hi", bits=10), 1002, id="RSV2"),
        pytest.param(frame(TEXT, b"hi", bits=9), 1002, id="RSV3"),
        pytest.param(frame(3), 1002, id="reserved opcode 3"),
        pytest.param(frame(11), 1002, id="reserved opcode 11"),
        pytest.param(frame(PING, b"x" * 126), 1002, id="long ping"),
        pytest.param(frame(CLOSE, close_payload(1000, b"x" * 124)), 1002, id="long close"),
        pytest.param(frame(PING, bits=0), 1002, id="ping in fragments"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continuation of nothing"),
        pytest.param(frame(TEXT, b"a", bits=0) + frame(TEXT, b"b"), 1002, id="message in a message"),
        pytest.param(frame(TEXT, b"a", bits=0) + frame(BINARY, b"b"), 1002, id="other message in a message"),
        pytest.param(b"\x81\xfe\0\2" + frame(TEXT, b"hi")[2:], 1002, id="length in two bytes that needs none"),
        pytest.param(b"\x81\xff" + bytes(7) + b"\2" + frame(TEXT, b"hi")[2:], 1002, id="length in eight bytes"),
        pytest.param(b"\x81\xff\x80" + bytes(7) + bytes(4), 1002, id="negative length"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(TEXT, b"\xc3"), 1007, id="half a character"),
        pytest.param(
            frame(TEXT, b"\xc3", bits=0) + frame(CONTINUATION, b"a"), 1007, id="half a character in fragments"
        ),
        pytest.param(frame(TEXT, b"\xff", bits=0), 1007, id="no UTF-8 in a first fragment"),
        pytest.param(frame(CLOSE, b"\0"), 1002, id="half a close code"),
        pytest.param(frame(CLOSE, close_payload(999)), 1002, id="close 999"),
        pytest.param(frame(CLOSE, close_payload(1004)), 1002, id="close 1004"),
        pytest.param(frame(CLOSE, close_payload(1005)), 1002, id="close 1005"),
        pytest.param(frame(CLOSE, close_payload(1006)), 1002, id="close 1006"),
        pytest.param(frame(CLOSE, close_payload(1015)), 1002, id="close 1015"),
        pytest.param(frame(CLOSE, close_payload(2000)), 1002, id="close 2000"),
        pytest.param(frame(CLOSE, close_payload(5000)), 1002, id="close 5000"),
        pytest.param(frame(CLOSE, close_payload(1000, b"\xff")), 1007, id="reason that is no UTF-8"),
    ],
)
def test_what_breaks_the_protocol(data: bytes, code: int, serve: Serve) -> None:
    handler = noting()
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        client.send(frame(TEXT, b"before"))
        assert client.receive() == Frame(8, TEXT, b"before")
        client.send(data + frame(TEXT, b"after"))
        assert client.close_code() == code
    assert handler.ended.get(timeout=30)[0] == code


@in_one_process
def test_who_breaks_it_reads_why(server_class: Any, serve: Serve) -> None:
    with RawClient(serve(server_class, Echo).connect()) as client:
        sending = Background(send_without_end, client.socket)
        assert client.close_code() == 1002
        client.socket.close()
        sending.result()


def send_without_end(sock: socket.socket) -> None:
    try:
        while True:
            sock.sendall(frame(TEXT, b"x" * 1000, mask=None))
    except OSError:
        return


# -- The end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(1001, b"bye"), close_payload(4999)])
@in_one_process
def test_the_client_closes(payload: bytes, server_class: Any, serve: Serve) -> None:
    handler = noting()
    with RawClient(serve(server_class, handler).connect()) as client:
        client.send(frame(CLOSE, payload))
        assert client.receive() == Frame(8, CLOSE, payload)
        assert client.receive() is None
    code = struct.unpack("!H", payload[:2])[0] if payload else 1005
    assert handler.ended.get(timeout=30) == (code, payload[2:].decode())


def test_nothing_can_be_sent_once_the_client_has_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[str]

        def handle_websocket(self) -> None:
            assert self.receive() is None
            with pytest.raises(WebSocketClosed) as raised:
                self.send("too late")
            self.ended.put(str(raised.value))

    reply = WebSocketConnection._reply

    def send_first(self: WebSocketConnection, event: Any) -> None:
        if self.code == 1006:  # as another thread may, between the client's close and the answer to it
            with pytest.raises(WebSocketClosed):
                self.send("too late")
        reply(self, event)

    monkeypatch.setattr(WebSocketConnection, "_reply", send_first)
    handler = noting(Handler)
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        client.send(frame(CLOSE, close_payload(1001, b"bye")))
        assert client.receive() == Frame(8, CLOSE, close_payload(1001, b"bye"))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == "the WebSocket is closed with 1001, bye"


@in_one_process
def test_the_server_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            self.close(4000, "enough" * 30)
            self.close(1000)  # too late
            with pytest.raises(WebSocketClosed):
                self.send("more")
            self.ended.put((list(self), self.close_code, self.receive()))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        found = client.receive()
        assert found == Frame(8, CLOSE, close_payload(4000, b"enough" * 20 + b"eno"))
        client.send(frame(TEXT, b"under way") + frame(PING) + frame(CLOSE, close_payload(4000)) + frame(TEXT, b"late"))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == (["under way"], 4000, None)


def test_codes_that_may_not_be_sent(serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000):
                with pytest.raises(ValueError, match=f"^a WebSocket cannot be closed with code {code}$"):
                    self.close(code)
            self.close(3000)

    with RawClient(serve(ThreadingHTTPServer, Handler).connect()) as client:
        assert client.receive() == Frame(8, CLOSE, close_payload(3000))


@in_one_process
def test_the_end_of_the_handler_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            self.send("bye")

    with RawClient(serve(server_class, Handler).connect()) as client:
        assert client.receive() == Frame(8, TEXT, b"bye")
        assert client.receive() == Frame(8, CLOSE, close_payload(1000, b""))
        client.send(frame(TEXT, b"x") * 1000)
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.receive() is None


@in_one_process
def test_an_exception_of_the_handler_closes(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            raise LookupError("secret")

    with events_of(events.RequestFailed) as recorder, RawClient(serve(server_class, Handler).connect()) as client:
        assert client.receive() == Frame(8, CLOSE, close_payload(1011))
        client.send(frame(CLOSE, close_payload(1011)))
        assert client.receive() is None
        assert isinstance(recorder.wait_for(events.RequestFailed).error, LookupError)


@in_one_process
def test_a_client_that_does_not_close_too(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        close_timeout = 0.05

        def handle_websocket(self) -> None:
            pass

    with RawClient(serve(server_class, Handler).connect()) as client:
        assert client.close_code() == 1000


@in_one_process
def test_a_client_that_goes_without_a_word(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            received = list(self)
            with pytest.raises(WebSocketClosed, match=r"^the WebSocket is closed with 1006$") as raised:
                self.send("too late")
            self.ended.put((received, self.close_code, raised.value.code, self.receive()))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        client.send(frame(TEXT, b"last") + frame(TEXT, b"half")[:-2])
    assert handler.ended.get(timeout=30) == (["last"], 1006, 1006, None)


@in_one_process
def test_a_client_that_resets_the_connection(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = None

    handler = noting(Handler)
    client = RawClient(serve(server_class, handler).connect())
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.file.close()
    socket.socket.close(client.socket)
    assert handler.ended.get(timeout=30) == (1006, "")


@in_one_process
def test_a_client_that_stays_although_it_broke_the_protocol(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        close_timeout = 0.05

    with RawClient(serve(server_class, Handler).connect()) as client:
        client.send(frame(3))
        assert client.close_code() == 1002
        with pytest.raises(ConnectionError):  # as it is closed for good
            send_forever(client.socket)


def send_forever(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"x" * 1000)


@in_one_process
def test_a_client_that_is_silent(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.02
        ping_timeout = 0.02

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()) as client:
        assert client.receive() == Frame(8, PING, b"")
        assert client.close_code() == 1011
    assert handler.ended.get(timeout=30) == (1011, "no answer to a ping")


@in_one_process
def test_a_client_that_answers_pings(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.02
        ping_timeout = 30.0

    with RawClient(serve(server_class, Handler).connect()) as client:
        for _ in range(3):
            assert client.receive() == Frame(8, PING, b"")
            client.send(frame(PONG))
        client.send(frame(CLOSE))
        while (found := client.receive()) == Frame(8, PING, b""):
            pass
        assert found == Frame(8, CLOSE, b"")


@in_one_process
def test_deadlines_for_requests_are_none_for_it(server_class: Any, serve: Serve) -> None:
    class Handler(Echo):
        ping_interval = 0.1
        ping_timeout = 30.0

    served = serve(server_class, Handler, head_timeout=1.0, keep_alive_timeout=1.0, min_body_rate=1000)
    with RawClient(served.connect()) as client:
        for _ in range(12):  # for longer than that
            assert client.receive() == Frame(8, PING, b"")
            client.send(frame(PONG))
        client.send(frame(TEXT, b"there"))
        while (found := client.receive()) == Frame(8, PING, b""):
            pass
        assert found == Frame(8, TEXT, b"there")


@in_one_process
def test_a_client_that_takes_nothing(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        ping_interval = ping_timeout = 0.05
        close_timeout = 0.05
        ended: queue.Queue[Any]

        def handle_websocket(self) -> None:
            with pytest.raises(WebSocketClosed):
                while True:
                    self.send(b"x" * 1_000_000)
            self.ended.put(list(self))

    handler = noting(Handler)
    with RawClient(serve(server_class, handler).connect()):
        assert handler.ended.get(timeout=30) == []


# -- The end of the server -------------------------------------------------------------------------------------------


def opened(served: Any, **options: Any) -> RawClient:
    """Return a client whose messages have been echoed once."""
    client = RawClient(served.connect(), **options)
    client.send(frame(TEXT, b"hi"))
    assert client.receive() == Frame(8, TEXT, b"hi")
    return client


class TestDrains:
    @on_every_model
    def test_close_each_with_1001(self, server_class: Any, serve: Serve) -> None:
        served = serve(server_class, noting())
        clients = [opened(served) for _ in range(3)]
        drain = Background(served.server.drain, 60)
        for client in clients:
            assert client.receive() == Frame(8, CLOSE, close_payload(1001))
            client.send(frame(TEXT, b"one more"))  # which is received
            client.send(frame(CLOSE, close_payload(1001)))
            assert client.receive() is None
            client.__exit__()
        assert drain.result(90) == 0

    @in_one_process
    def test_end_the_iteration(self, server_class: Any, serve: Serve) -> None:
        handler = noting()
        served = serve(server_class, handler)
        with opened(served) as client:
            drain = Background(served.server.drain, 60)
            assert client.receive() == Frame(8, CLOSE, close_payload(1001))
            client.send(frame(CLOSE, close_payload(1001)))
            assert handler.ended.get(timeout=30) == (1001, "")
        assert drain.result(90) == 0

    @in_one_process
    def test_under_tls(self, server_class: Any, serve: Serve, tmp_path: Path) -> None:
        certificate, context = encrypted(tmp_path)
        served = serve(server_class, Echo, tls_certificate=certificate)
        with RawClient(context.wrap_socket(served.connect(), server_hostname="localhost")) as client:
            client.send(frame(TEXT, b"hi"))
            assert client.receive() == Frame(8, TEXT, b"hi")
            drain = Background(served.server.drain, 60)
            assert client.receive() == Frame(8, CLOSE, close_payload(1001))
            client.send(frame(CLOSE, close_payload(1001)))
            assert client.receive() is None
        assert drain.result(90) == 0

    @in_one_process
    def test_cut_who_does_not_answer(self, server_class: Any, serve: Serve) -> None:
        handler = noting()
        served = serve(server_class, handler)
        with opened(served) as client:
            drain = Background(served.server.drain, 0.2)
            assert handler.ended.get(timeout=30) == (1006, "")
            assert drain.result(90) == 1
            assert client.receive() in (Frame(8, CLOSE, close_payload(1001)), None)

    @in_one_process
    def test_let_no_more_begin(self, server_class: Any, serve: Serve) -> None:
        """A WebSocket that opens while the server drains is closed at once."""
        release = Event()

        class Waits(Echo):
            def check_origin(self, origin: str | None) -> bool:
                asked.put(None)
                return release.wait(30)

        asked: queue.Queue[None] = queue.Queue()
        handler: Any = noting(Waits)
        served = serve(server_class, handler)
        client = served.connect()
        opening = Background(RawClient, client)
        asked.get(timeout=30)
        drain = Background(served.server.drain, 60)
        assert eventually(lambda: served.server._drain_begun)
        release.set()
        with opening.result() as opened:
            assert opened.receive() == Frame(8, CLOSE, close_payload(1001))
            opened.send(frame(CLOSE, close_payload(1001)))
            assert handler.ended.get(timeout=30) == (1001, "")
        assert drain.result(90) == 0


@in_one_process
def test_who_breaks_the_protocol_under_tls_sees_why(server_class: Any, serve: Serve, tmp_path: Path) -> None:
    certificate, context = encrypted(tmp_path)
    served = serve(server_class, Echo, tls_certificate=certificate)
    connection = context.wrap_socket(served.connect(), server_hostname="localhost", suppress_ragged_eofs=False)
    with RawClient(connection) as client:
        client.send(frame(3) + bytes(1 << 22))
        assert client.close_code() == 1002


@pytest.mark.parametrize("server_class", [HTTPServer, GreenHTTPServer])
def test_the_end_of_a_loop_closes_what_runs_in_its_thread(server_class: Any, serve: Serve) -> None:
    served = serve(server_class, noting())
    with opened(served) as client:
        ending = Background(served.server.shutdown)
        assert client.receive() == Frame(8, CLOSE, close_payload(1001))
        client.send(frame(CLOSE, close_payload(1001)))
        assert client.receive() is None
    ending.result()


def test_the_end_of_a_loop_leaves_other_threads_alone(serve: Serve) -> None:
    served = serve(ThreadingHTTPServer, noting())
    with opened(served) as client:
        served.server.shutdown()
        client.send(frame(TEXT, b"still here?"))
        assert client.receive() == Frame(8, TEXT, b"still here?")
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.close_code() == 1000


# -- Several senders -----------------------------------------------------------------------------------------------


@in_one_process
@pytest.mark.parametrize("headers", ["", DEFLATE])
def test_messages_of_several_senders_are_whole(headers: str, server_class: Any, serve: Serve) -> None:
    with RawClient(serve(server_class, Crowd).connect(), headers) as client:
        talk_to_the_crowd(client)


@in_one_process
def test_threads_beside_the_hub_can_send(server_class: Any, serve: Serve) -> None:
    class Handler(WebSocketHandler):
        def handle_websocket(self) -> None:
            thread = threading.Thread(target=self.send_many)
            thread.start()
            for message in self:
                self.send(message)
            thread.join()

        def send_many(self) -> None:
            for _ in range(50):
                self.send("thread" * 5000)

    with RawClient(serve(server_class, Handler).connect()) as client:
        client.send(frame(TEXT, b"handler") * 50)
        received = [client.receive() for _ in range(100)]
        client.send(frame(CLOSE))
        assert client.receive() == Frame(8, CLOSE, b"")
    assert received.count(Frame(8, TEXT, b"thread" * 5000)) == received.count(Frame(8, TEXT, b"handler")) == 50


def test_a_thread_can_close_it(serve: Serve) -> None:
    opened: queue.Queue[WebSocketHandler] = queue.Queue()

    class Handler(Echo):
        def handle_websocket(self) -> None:
            opened.put(self)
            super().handle_websocket()

    handler = noting(Handler)
    with RawClient(serve(ThreadingHTTPServer, handler).connect()) as client:
        websocket = opened.get(timeout=30)
        threading.Thread(target=websocket.close, args=(1001, "going")).start()
        assert client.receive() == Frame(8, CLOSE, close_payload(1001, b"going"))
        client.send(frame(CLOSE, close_payload(1001)))
        assert client.receive() is None
    assert handler.ended.get(timeout=30) == (1001, "")
