"""The handler: requests are led to their methods, bodies end where they end, and connections are kept or closed."""

from __future__ import annotations

import io
import queue
import re
import socket
import threading
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import ThreadingTCPServer
from doorkeep.http import handler, servers
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ForkingHTTPServer, HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.background import eventually
from tests.http.encryption import encrypted
from tests.http.models import in_one_process

every_model = pytest.mark.parametrize(
    "server_class", [HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer, ForkingHTTPServer, GreenHTTPServer]
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sys_version = ""

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)


class Echo(Handler):
    """Says what was asked, and with what body."""

    def do_GET(self) -> None:
        self.answer(f"{self.command} {self.path} ".encode() + self.rfile.read())

    do_POST = do_PUT = do_GET

    def do_LEAVE(self) -> None:
        self.answer(b"left")

    def do_CLOSE(self) -> None:
        self.close_connection = True
        self.answer(b"closing")

    def do_LINES(self) -> None:
        self.answer(b"|".join(self.rfile))


def bodies(answer: bytes) -> list[bytes]:
    """Return the bodies of the responses in an answer, each of which has a Content-Length."""
    found = []
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        if b"100 Continue" in head:
            continue
        match = re.search(rb"Content-Length: (\d+)", head)
        assert match is not None, head
        found.append(answer[: int(match[1])])
        answer = answer[int(match[1]) :]
    return found


def receive_until(client: socket.socket, end: bytes) -> bytes:
    """Receive until what has come ends with `end`."""
    received = b""
    while not received.endswith(end):
        data = client.recv(1000)
        assert data, received
        received += data
    return received


PIECES = [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"HEAD / HTTP/1.1\r\nHost: h\r\nX"]


def answer_to_beginning(served: Served[Any], piece: bytes) -> bytes:
    """Return what a client receives whose request has begun before the server sees it, and never ends."""
    with beginning(served, piece) as client:
        return all_of(client)


def beginning(served: Served[Any], piece: bytes) -> Any:
    """Return a client whose request has begun before the server sees it."""
    server = served.server
    server.suspend()
    assert eventually(lambda: server._watch is not None and server._watch._reason == "suspended")
    client = served.connect()
    client.sendall(piece)
    server.resume()
    return client


def all_of(client: Any) -> bytes:
    """Return all that a client receives."""
    with client.makefile("rb") as file:
        data: bytes = file.read()
    return data


def is_late(answer: bytes) -> bool:
    """Return whether an answer says that the request came too late, and nothing more."""
    head = answer.partition(b"\r\n\r\n")[0]
    return statuses(answer) == [408] and b"\r\nConnection: close\r\n" in head


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.\d (\d{3}) ", answer)]


# -- Requests and their methods --------------------------------------------------------------------------------------


@every_model
class TestRequests:
    def test_one_after_another_on_a_connection(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo)
        client = HTTPConnection(*served.address)
        client.sock = served.client  # which ends although a child process has inherited it
        for path in ("/a", "/b?x=1", "/%41"):
            client.request("GET", path)
            assert client.getresponse().read() == b"GET %b " % path.encode()

    def test_in_a_pipeline(self, serve: Serve, server_class: Any) -> None:
        requests = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(50))
        answer = serve(server_class, Echo).exchange(requests)
        assert bodies(answer) == [b"GET /%d " % number for number in range(50)]

    def test_bodies_end_where_they_end(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(
            b"POST /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
            b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"
            b"GET /3 HTTP/1.1\r\n\r\n"
        )
        assert bodies(answer) == [b"POST /1 abc", b"POST /2 defgh", b"GET /3 "]

    def test_what_a_handler_leaves_is_not_the_next_request(self, serve: Serve, server_class: Any) -> None:
        smuggled = b"GET /smuggled HTTP/1.1\r\n\r\n"
        answer = serve(server_class, Echo).exchange(
            b"LEAVE / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%bGET /next HTTP/1.1\r\n\r\n" % (len(smuggled), smuggled)
        )
        assert bodies(answer) == [b"left", b"GET /next "]

    def test_until_the_handler_closes(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(b"CLOSE / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert bodies(answer) == [b"closing"]

    def test_the_connection_ends_with_a_handler_that_fails(self, serve: Serve, server_class: Any) -> None:
        class Fails(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(b"begun")
                raise ConnectionResetError("as if the client had gone")

        answer = serve(server_class, Fails).exchange(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n5\r\nbegun\r\n")  # without the chunk that would end it


class TestMethods:
    def test_are_looked_up_at_each_request(self, serve: Serve) -> None:
        class Any_(Handler):
            def __getattr__(self, name: str) -> Any:
                if name == "do_BREW":
                    return lambda: self.answer(b"brewed")
                raise AttributeError(name)

        answer = serve(ThreadingHTTPServer, Any_).exchange(b"BREW / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [200, 501]
        assert b"501 Unsupported method ('GET')\r\n" in answer

    def test_may_be_chosen_by_parse_request(self, serve: Serve) -> None:
        class Overrides(Echo):
            def parse_request(self) -> bool:
                parsed = super().parse_request()
                self.command = self.headers.get("X-HTTP-Method-Override", self.command)
                return parsed

        answer = serve(ThreadingHTTPServer, Overrides).exchange(
            b"POST / HTTP/1.1\r\nX-HTTP-Method-Override: LEAVE\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\n\r\n"
        )
        assert bodies(answer) == [b"left", b"GET / "]

    def test_find_the_request_in_the_attributes(self, serve: Serve) -> None:
        found: list[Any] = []

        class Looks(Handler):
            def do_GET(self) -> None:
                found.append((self.raw_requestline, self.requestline, self.command, self.path, self.request_version))
                found.append((self.headers.get("x-name"), self.client_address[0], self.close_connection))
                self.answer(b"")

        serve(ThreadingHTTPServer, Looks).exchange(b"GET  /x HTTP/1.1 \r\nX-Name:  value \r\n\r\n")
        assert found == [
            (b"GET  /x HTTP/1.1 \r\n", "GET  /x HTTP/1.1 ", "GET", "/x", "HTTP/1.1"),
            ("value", "127.0.0.1", False),
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        ("request_bytes", "status", "reason"),
        [
            (b"GET / HTTP/1.1 x\r\n\r\n", 400, b"Bad request version"),
            (b"GET / HTTP/2.0\r\n\r\n", 505, b"Invalid HTTP version (2.0)"),
            (b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 65536), 414, b"Request-URI Too Long"),
            (b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"x" * 65536), 431, b"Line too long"),
            (b"GET / HTTP/1.1\r\n%b\r\n" % (b"X: y\r\n" * 101), 431, b"Too many headers"),
            (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", 400, b""),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b""),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, b""),
        ],
    )
    def test_tell_why_and_close(self, serve: Serve, request_bytes: bytes, status: int, reason: bytes) -> None:
        class Default(Echo):
            default_request_version = "HTTP/1.1"

        answer = serve(ThreadingHTTPServer, Default).exchange(request_bytes + b"GET / HTTP/1.1\r\n\r\n")
        assert statuses(answer) == [status]
        first, *headers = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
        if status != 414:
            assert reason in first
        assert b"Connection: close" in headers

    def test_a_host_may_be_required(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, host_required=True)
        assert statuses(served.exchange(b"GET / HTTP/1.1\r\n\r\n")) == [400]
        assert statuses(served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")) == [200]

    def test_nothing_answers_a_head_that_is_cut_off(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo)
        for piece in (
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"",
        ):
            assert served.exchange(piece) == b""

    def test_an_empty_line_may_come_first(self, serve: Serve) -> None:
        assert bodies(serve(ThreadingHTTPServer, Echo).exchange(b"\r\nGET / HTTP/1.1\r\n\r\n")) == [b"GET / "]


# -- Bodies ----------------------------------------------------------------------------------------------------------


@every_model
class TestExpectations:
    REQUEST = b"%b / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    def test_are_met_when_the_body_is_read(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo).client
        client.sendall(self.REQUEST % b"POST")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        receive_until(client, b"POST / hello")

    def test_the_connection_closes_if_it_is_not_read(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo).client
        client.sendall(self.REQUEST % b"LEAVE")
        answer = client.makefile("rb").read()
        assert statuses(answer) == [200]
        assert b"Connection: close\r\n" in answer

    def test_without_a_body_are_met_at_once(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n")
        assert statuses(answer) == [100, 200]

    def test_may_be_refused(self, serve: Serve, server_class: Any) -> None:
        class Refuses(Echo):
            def handle_expect_100(self) -> bool:
                self.send_error(HTTPStatus.EXPECTATION_FAILED)
                return False

        client = serve(server_class, Refuses).client
        client.sendall(self.REQUEST % b"POST")
        assert statuses(client.makefile("rb").read()) == [417]

    def test_may_be_met_by_the_program(self, serve: Serve, server_class: Any) -> None:
        class Meets(Echo):
            def handle_expect_100(self) -> bool:
                self.send_response_only(100)
                self.send_header("X-Mine", "yes")
                self.end_headers()
                return True

        client = serve(server_class, Meets).client
        client.sendall(self.REQUEST % b"LEAVE")
        assert receive_until(client, b"left").startswith(b"HTTP/1.1 100 Continue\r\nX-Mine: yes\r\n\r\nHTTP/1.1 200")
        client.sendall(b"helloGET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert bodies(client.makefile("rb").read()) == [b"GET / "]


class TestBodies:
    def test_a_response_that_has_begun_is_not_broken_into(self, serve: Serve) -> None:
        class AnswersFirst(Handler):
            def do_POST(self) -> None:
                self.send_response_only(200)
                self.send_header("Content-Length", "5")
                self.rfile.read(1)  # the head is not sent yet: the client is told to go on
                self.end_headers()
                self.wfile.write(self.rfile.read())

        client = serve(ThreadingHTTPServer, AnswersFirst).client
        client.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 6\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"xhello")
        client.shutdown(1)
        assert client.makefile("rb").read().endswith(b"\r\n\r\nhello")

    @every_model
    def test_a_malformed_one_is_refused(self, serve: Serve, server_class: Any) -> None:
        class Begins(Echo):
            def do_PUT(self) -> None:
                self.send_response(200)  # put together, and never sent
                self.rfile.read()

        served = serve(server_class, Begins)
        for method in (b"POST", b"PUT"):
            answer = served.exchange(b"%b / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" % method)
            assert statuses(answer) == [400]
            assert b"Connection: close\r\n" in answer

    def test_a_malformed_one_ends_a_response_that_has_begun(self, serve: Serve) -> None:
        class Begins(Handler):
            def do_POST(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.rfile.read()

        answer = serve(ThreadingHTTPServer, Begins).exchange(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
        )
        assert statuses(answer) == [200]
        assert answer.endswith(b"\r\n\r\n")

    def test_more_than_is_allowed_is_not_read_for_the_handler(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, max_unread_body=10)
        for size, count in ((10, 2), (11, 1)):
            request = b"LEAVE / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%bGET / HTTP/1.1\r\n\r\n" % (size, b"x" * size)
            assert len(bodies(served.exchange(request))) == count

    @every_model
    def test_a_client_that_sends_too_much_sees_its_answer(self, serve: Serve, server_class: Any) -> None:
        body = bytes(8 << 20)
        request = b"LEAVE / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert bodies(serve(server_class, Echo).exchange(request + body)) == [b"left"]

    def test_a_client_that_goes_on_sending_is_not_waited_for_long(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handler, "LINGER", 0.1)
        client = serve(ThreadingHTTPServer, Echo, max_unread_body=1).client
        client.sendall(b"LEAVE / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx")
        assert client.makefile("rb").read().endswith(b"left")
        with pytest.raises(ConnectionError):
            while True:
                client.send(b"x")

    def test_of_a_method_that_is_not_there_is_read_too(self, serve: Serve) -> None:
        class Keeps(Echo):
            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                self.answer(b"no", code)

        request = b"BREW / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.1\r\n\r\n"
        assert bodies(serve(ThreadingHTTPServer, Keeps).exchange(request)) == [b"no", b"GET / "]

    def test_lines_and_other_ways_to_read(self, serve: Serve) -> None:
        answer = serve(ThreadingHTTPServer, Echo).exchange(
            b"LINES / HTTP/1.1\r\nContent-Length: 7\r\n\r\na\nbc\ndeGET / HTTP/1.1\r\n\r\n"
        )
        assert bodies(answer) == [b"a\n|bc\n|de", b"GET / "]

    def test_none_is_empty_and_has_the_descriptor(self, serve: Serve) -> None:
        found: list[Any] = []

        class Looks(Handler):
            def do_GET(self) -> None:
                found.append(
                    (self.rfile.fileno() == self.connection.fileno(), self.rfile.read(), self.rfile.readline())
                )
                self.rfile.close()
                self.answer(b"")

        serve(ThreadingHTTPServer, Looks).exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
        assert found == [(True, b"", b"")] * 2


class TestUpgrades:
    @every_model
    def test_what_follows_is_the_handlers(self, serve: Serve, server_class: Any) -> None:
        class Upgrades(Handler):
            def do_GET(self) -> None:
                self.send_response_only(101)
                self.send_header("Connection", "Upgrade")
                self.send_header("Upgrade", "shouting")
                self.end_headers()
                self.wfile.write(self.rfile.readline().upper())

            def do_CONNECT(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(self.rfile.readline().upper())

        served = serve(server_class, Upgrades)
        for request in (
            b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: shouting\r\n\r\nhello\n",
            b"CONNECT a:1 HTTP/1.1\r\n\r\nhello\n",
        ):
            assert served.exchange(request).endswith(b"\r\n\r\nHELLO\n")

    def test_a_client_may_be_answered_by_http(self, serve: Serve) -> None:
        request = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        assert bodies(serve(ThreadingHTTPServer, Echo, None).exchange(b"LEAVE" + request[3:] + request)) != []

    def test_its_body_is_bounded(self, serve: Serve) -> None:
        request = b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab"
        assert bodies(serve(ThreadingHTTPServer, Echo).exchange(request * 2)) == [b"POST / ab"] * 2


# -- How long a connection lives -------------------------------------------------------------------------------------


class TestKeeping:
    @pytest.mark.parametrize(
        ("version", "request_head", "kept"),
        [
            ("HTTP/1.1", b"GET / HTTP/1.1\r\n", True),
            ("HTTP/1.1", b"GET / HTTP/1.1\r\nConnection: close\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.1\r\nConnection: x, Close\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.0\r\n", False),
            ("HTTP/1.1", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", True),
            ("HTTP/1.0", b"GET / HTTP/1.1\r\n", False),
            ("HTTP/1.0", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", False),
        ],
    )
    def test_as_both_sides_wish(self, serve: Serve, version: str, request_head: bytes, kept: bool) -> None:
        class Speaks(Echo):
            protocol_version = version

        answer = serve(ThreadingHTTPServer, Speaks).exchange((request_head + b"\r\n") * 2)
        assert len(bodies(answer)) == 1 + kept

    @every_model
    def test_the_end_that_a_client_asks_for_is_told(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, Echo).exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET / "

    def test_the_end_that_the_handler_wants_is_told(self, serve: Serve) -> None:
        answer = serve(ThreadingHTTPServer, Echo).exchange(b"CLOSE / HTTP/1.1\r\n\r\n")
        assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nclosing"

    def test_it_is_told_once(self, serve: Serve) -> None:
        class Tells(Echo):
            def end_headers(self) -> None:
                self.send_header("Connection", "close, x")
                super().end_headers()

        answer = serve(ThreadingHTTPServer, Tells).exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.count(b"Connection:") == 1

    @pytest.mark.parametrize(("handler_speaks", "client_speaks"), [("HTTP/1.0", "1.1"), ("HTTP/1.1", "1.0")])
    def test_it_is_not_told_where_one_speaks_http_1_0(
        self, serve: Serve, handler_speaks: str, client_speaks: str
    ) -> None:
        class Speaks(Echo):
            protocol_version = handler_speaks

        request = f"GET / HTTP/{client_speaks}\r\nConnection: close\r\n\r\n".encode()
        answer = serve(ThreadingHTTPServer, Speaks).exchange(request)
        assert answer == handler_speaks.encode() + b" 200 OK\r\nContent-Length: 6\r\n\r\nGET / "

    def test_for_so_many_requests(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, max_requests_per_connection=3)
        answer = served.exchange(b"GET / HTTP/1.1\r\n\r\n" * 5)
        assert len(bodies(answer)) == 3
        assert answer.count(b"Connection: close\r\n") == 1

    @every_model
    def test_a_slow_head_has_a_deadline(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    @every_model
    def test_where_nothing_comes_it_ends_without_an_answer(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        assert served.client.recv(100) == b""

    @every_model
    def test_the_head_of_a_further_request_has_one_too(self, serve: Serve, server_class: Any) -> None:
        class Hurries(Echo):
            def do_GET(self) -> None:
                super().do_GET()
                self.server.head_timeout = 0.1

        for piece in PIECES:
            client = serve(server_class, Hurries, head_timeout=60, keep_alive_timeout=0.1).client
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" + piece)
            first, found, second = all_of(client).partition(b"\r\n\r\nGET / ")
            assert statuses(first + found) == [200]
            assert is_late(second)

    @in_one_process
    def test_a_late_head_is_counted_once(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, head_timeout=0.1)
        assert is_late(answer_to_beginning(served, b"GET"))
        assert eventually(lambda: served.server.stats().active == 0)
        assert served.server.stats().expired == {"head_timeout": 1}

    @in_one_process
    def test_who_does_not_take_the_answer_is_cut(
        self, serve: Serve, server_class: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(servers, "LINGER", 0.1)
        failed: queue.Queue[BaseException] = queue.Queue()

        class Talks(Echo):
            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
                try:
                    while True:
                        self.wfile.write(bytes(1 << 16))
                        self.wfile.flush()
                except OSError as error:
                    failed.put(error)
                    raise

        served = serve(server_class, Talks, head_timeout=0.1)
        beginning(served, b"GET")
        assert isinstance(failed.get(timeout=30), ConnectionError)
        assert served.server.stats().expired == {"head_timeout": 1}

    @in_one_process
    def test_a_program_that_reads_the_head_itself(self, serve: Serve, server_class: Any) -> None:
        class Parses(Echo):
            def parse_request(self) -> bool:
                return super().parse_request()

        served = serve(server_class, Parses, head_timeout=0.1)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    @in_one_process
    def test_under_tls(self, serve: Serve, server_class: Any, tmp_path: Path) -> None:
        certificate, context = encrypted(tmp_path)
        served = serve(server_class, Echo, keep_alive_timeout=0.1, tls_certificate=certificate)
        for piece, expected in ((b"GET", [200, 408]), (b"", [200])):
            plain = served.connect()
            with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" + piece)
                assert statuses(all_of(client)) == expected  # and no error: the server says goodbye

    @every_model
    def test_an_idle_connection_has_a_deadline(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo, keep_alive_timeout=0.1).client
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        receive_until(client, b"GET / ")
        assert client.recv(1) == b""

    def test_a_handler_at_work_has_none(self, serve: Serve) -> None:
        begun, go_on = threading.Event(), threading.Event()

        class Works(Handler):
            def do_GET(self) -> None:
                begun.set()
                assert go_on.wait(30)
                self.answer(b"done")

        served = serve(ThreadingHTTPServer, Works, head_timeout=1.0, keep_alive_timeout=1.0)
        client = served.client
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert begun.wait(30)
        # When one that came later is gone, this one would be, too.
        assert served.connect().recv(1) == b""
        go_on.set()
        assert client.makefile("rb").read().endswith(b"done")


# -- As programs use it ----------------------------------------------------------------------------------------------


class TestOwnLoops:
    def test_read_and_write_as_they_please(self, serve: Serve) -> None:
        """In a loop of the program's own nothing is bounded, chunked or dropped."""

        class Loops(Handler):
            def handle(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                assert self.parse_request()
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(self.rfile.read())

        answer = serve(ThreadingHTTPServer, Loops).exchange(b"HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabcd")
        assert answer == b"HTTP/1.1 200 OK\r\n\r\nabcd"

    def test_a_head_may_end_with_the_stream(self) -> None:
        own = Handler.__new__(Handler)
        own.rfile, own.raw_requestline = io.BytesIO(b"X: y"), b"GET / HTTP/1.1"
        assert own.parse_request()
        assert own.headers.items() == [("X", "y")]

    def test_handle_one_request_may_be_replaced_on_the_instance(self, serve: Serve) -> None:
        class Replaces(Handler):
            def setup(self) -> None:
                super().setup()
                self.handle_one_request = self.only  # type: ignore[method-assign]  # as programs do

            def only(self) -> None:
                self.wfile.write(b"only")
                self.close_connection = True

        assert serve(ThreadingHTTPServer, Replaces).exchange(b"GET / HTTP/1.1\r\n\r\n") == b"only"

    def test_a_parse_request_of_the_programs_own(self, serve: Serve) -> None:
        class Parses(Handler):
            def parse_request(self) -> bool:
                self.command, self.request_version, self.close_connection = "GET", "HTTP/1.1", True
                return True

            def do_GET(self) -> None:
                self.wfile.write(self.rfile.read())

        assert serve(ThreadingHTTPServer, Parses).exchange(b"anything\nabc") == b"abc"


class TestOtherServers:
    def test_a_plain_server_of_ours(self, serve: Serve) -> None:
        answer = serve(ThreadingTCPServer, Echo).exchange(b"GET / HTTP/1.1\r\n\r\n" * 2)
        assert bodies(answer) == [b"GET / "] * 2

    @pytest.mark.parametrize("server", [None, SimpleNamespace()])
    def test_no_server_of_ours_gets_what_the_handler_writes(self, server: Any) -> None:
        class Writes(Handler):
            def do_GET(self) -> None:
                self.send_response_only(200)
                self.end_headers()
                self.wfile.write(b"hello")

        own = Writes.__new__(Writes)
        own.request, own.server, own.client_address = None, server, ("127.0.0.1", 1)
        own.rfile, own.wfile = io.BytesIO(b"GET / HTTP/1.1\r\n\r\n"), io.BytesIO()
        own.handle_one_request()
        assert own.wfile.getvalue() == b"HTTP/1.1 200 OK\r\n\r\nhello"
        assert not own.close_connection

    def test_a_timeout_closes(self, serve: Serve) -> None:
        told: list[str] = []

        class Hurries(Handler):
            timeout = 0.05

            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        served = serve(ThreadingHTTPServer, Hurries)
        assert served.client.recv(1) == b""
        assert len(told) == 1
        assert told[0].startswith("Request timed out: TimeoutError(")

    @every_model
    def test_a_timeout_of_the_handler_is_one_of_the_head(self, serve: Serve, server_class: Any) -> None:
        class Hurries(Echo):
            timeout = 0.1

        served = serve(server_class, Hurries)
        for piece in PIECES:
            assert is_late(answer_to_beginning(served, piece))

    def test_a_timeout_within_the_first_line_that_is_not_looked_into(self, serve: Serve) -> None:
        """By lines alone it cannot be known that some of one has come."""

        class Hurries(Echo):
            timeout = 0.1

            def parse_request(self) -> bool:
                return super().parse_request()

        client = serve(ThreadingHTTPServer, Hurries).client
        client.sendall(b"GET")
        assert client.recv(100) == b""
