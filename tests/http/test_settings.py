"""The settings of HTTP: what a body may come to. Those of time are tested with what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doorkeep import SettingError, ThreadingTCPServer
from doorkeep.events import BodyTooLong
from doorkeep.http.bodies import BodyTooLongError
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ForkingHTTPServer, HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer
from doorkeep.http.settings import NETWORK_DEFAULTS
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse, events_of
from doorkeep.testing.plugin import Serve
from tests import prerequisites
from tests.connection.certificates import NAME, Certificates

every_model = pytest.mark.parametrize(
    "server_class", [HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer, ForkingHTTPServer, GreenHTTPServer]
)

REFUSED = b"HTTP/1.1 413 Content Too Large\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
# Of 12 bytes.
CHUNKS = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"
NEXT = b"GET / HTTP/1.1\r\n\r\n"


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        body = self.rfile.read()
        self.send_response_only(200)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


def of_length(length: int, content: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (length, content)


class TestMaxBodySize:
    @every_model
    def test_what_is_allowed_is_read(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, max_body_size=12)
        for request in (of_length(12, b"hello, world"), CHUNKED + CHUNKS):
            answer = served.exchange(request + NEXT)
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert b"\r\n\r\nhello, worldHTTP/1.1" in answer

    @every_model
    def test_a_length_beyond_it_is_refused_before_the_handler_runs(self, serve: Serve, server_class: Any) -> None:
        class Fails(Echo):
            def do_POST(self) -> None:
                raise AssertionError("called")

        served = serve(server_class, Fails, max_body_size=12)
        answer = served.exchange(of_length(13, b"hello, world!") + NEXT)
        assert answer.startswith(REFUSED)
        assert answer.count(b"HTTP/1.1") == 1
        assert b"Connection: close\r\n" in answer

    @every_model
    def test_chunks_beyond_it_are_refused_when_they_are_read(self, serve: Serve, server_class: Any) -> None:
        served = serve(server_class, Echo, max_body_size=11)
        answer = served.exchange(CHUNKED + CHUNKS + NEXT)
        assert answer.startswith(REFUSED)
        assert answer.count(b"HTTP/1.1") == 1

    @every_model
    @pytest.mark.parametrize("head", [of_length(1 << 20), CHUNKED + b"%x\r\n" % (1 << 20)])
    def test_a_client_that_sends_all_the_same_sees_its_answer(
        self, serve: Serve, server_class: Any, head: bytes
    ) -> None:
        assert serve(server_class, Echo, max_body_size=1).exchange(head + bytes(1 << 20)).startswith(REFUSED)

    @every_model
    def test_a_client_that_asks_first_is_not_asked_for_anything(self, serve: Serve, server_class: Any) -> None:
        class Eager(Echo):
            def handle_expect_100(self) -> bool:
                raise AssertionError("called")

        client = serve(server_class, Eager, max_body_size=1).client
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.makefile("rb").read().startswith(REFUSED)

    @pytest.mark.parametrize(("line", "may_send"), [(b"", True), (b"Expect: 100-continue\r\n", False)])
    def test_a_client_that_has_asked_is_not_lingered_for(self, serve: Serve, line: bytes, may_send: bool) -> None:
        """It knows that it need not send."""
        found: list[bool] = []

        class Looks(Echo):
            def finish(self) -> None:
                assert self._exchanges is not None
                found.append(self._exchanges.leaves_unread)
                super().finish()

        served = serve(ThreadingHTTPServer, Looks, max_body_size=1)
        assert served.exchange(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n%b\r\n" % line).startswith(REFUSED)
        assert found == [may_send]

    def test_zero_is_for_no_body_at_all(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, max_body_size=0)
        assert served.exchange(of_length(1, b"x")).startswith(REFUSED)
        assert served.exchange(of_length(0) + CHUNKED + b"0\r\n\r\n").count(b"200 OK") == 2

    def test_a_response_that_has_begun_ends(self, serve: Serve) -> None:
        lines: list[str] = []

        class Begins(Echo):
            def log_message(self, format: str, *arguments: Any) -> None:
                lines.append(format % arguments)

            def do_POST(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(self.rfile.read(5))
                self.rfile.read()

        answer = serve(ThreadingHTTPServer, Begins, max_body_size=11).exchange(CHUNKED + CHUNKS)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n5\r\nhello\r\n")  # no last chunk
        assert lines[-1] == "code 413, message Content Too Large"

    def test_a_handler_may_catch_it(self, serve: Serve) -> None:
        class Catches(Echo):
            def do_POST(self) -> None:
                with pytest.raises(BodyTooLongError):
                    self.rfile.read()
                self.send_response_only(400)
                self.send_header("Content-Length", "0")
                self.end_headers()

        with events_of(BodyTooLong) as events:
            answer = serve(ThreadingHTTPServer, Catches, max_body_size=11).exchange(CHUNKED + CHUNKS + NEXT)
            assert len(list(events)) == 1
        assert answer == b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def test_what_a_handler_leaves_counts_too(self, serve: Serve) -> None:
        class Leaves(Echo):
            def do_POST(self) -> None:
                self.send_response_only(204)
                self.end_headers()

        served = serve(ThreadingHTTPServer, Leaves, max_body_size=11)
        assert served.exchange(CHUNKED + CHUNKS + NEXT) == b"HTTP/1.1 204 No Content\r\n\r\n"

    @pytest.mark.parametrize("request_bytes", [of_length(13), CHUNKED + CHUNKS])
    def test_an_event_tells(self, serve: Serve, request_bytes: bytes) -> None:
        with events_of(BodyTooLong) as events:
            served = serve(ThreadingHTTPServer, Echo, max_body_size=11)
            assert served.exchange(request_bytes).startswith(REFUSED)
            event = events.wait_for(BodyTooLong)
        assert (event.server, event.allowed, event.client_address[0]) == (served.server, 11, "127.0.0.1")

    def test_a_change_takes_effect_at_once(self, serve: Serve) -> None:
        served = serve(ThreadingHTTPServer, Echo, max_body_size=1)
        assert served.exchange(of_length(2, b"ab")).startswith(REFUSED)
        served.server.max_body_size = None
        assert served.exchange(of_length(2, b"ab")).endswith(b"ab")

    def test_handlers_that_read_the_connection_themselves_are_left_alone(self, serve: Serve) -> None:
        class Own(Echo):
            def handle(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                assert self.parse_request()
                self.wfile.write(self.rfile.read(2))

        assert serve(ThreadingHTTPServer, Own, max_body_size=1).exchange(of_length(2, b"ab")) == b"ab"

    def test_other_servers_have_no_bound(self, serve: Serve) -> None:
        answer = serve(ThreadingTCPServer, Echo).exchange(of_length(1 << 16, bytes(1 << 16)))
        assert answer.endswith(bytes(1 << 16))

    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    @pytest.mark.parametrize("request_bytes", [of_length(13, b"hello, world!"), CHUNKED + CHUNKS])
    def test_over_tls(self, serve: Serve, server_class: Any, request_bytes: bytes, tmp_path: Path) -> None:
        prerequisites.module("trustme")
        certificates = Certificates(tmp_path)
        served = serve(server_class, Echo, tls_certificate=certificates.both, max_body_size=11)
        with certificates.client_context().wrap_socket(served.connect(), server_hostname=NAME) as client:
            client.sendall(request_bytes)
            answer = b""
            while not answer.endswith(b"</html>\n"):
                data = client.recv(1 << 16)
                assert data, answer
                answer += data
        assert answer.startswith(REFUSED)

    def test_files_are_served_without_a_body(self, serve: Serve, tmp_path: Path) -> None:
        class Files(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=tmp_path)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        (tmp_path / "file").write_text("a file")
        served = serve(ThreadingHTTPServer, Files, max_body_size=11)
        for request in (of_length(12), CHUNKED + CHUNKS):
            got = request.replace(b"POST /", b"GET /file") + CHUNKS * request.startswith(of_length(12))
            answer = served.exchange(got + NEXT)
            assert answer.count(b"HTTP/1.1") == 1
            assert answer.startswith(REFUSED) or answer.endswith(b"a file")


class TestApplications:
    @pytest.mark.parametrize("request_bytes", [of_length(13), CHUNKED + CHUNKS])
    @every_model
    def test_get_no_more(self, serve: Serve, server_class: Any, request_bytes: bytes) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            content = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [content]

        served = serve(server_class, WSGIHandler.serving(application), max_body_size=11)
        assert served.exchange(request_bytes + NEXT).startswith(REFUSED)

    @pytest.mark.parametrize(("status", "seen"), [("500 Internal Server Error", REFUSED), ("400 Bad Request", b"400")])
    def test_may_take_it_for_a_failure_of_their_own(self, serve: Serve, status: str, seen: bytes) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            try:
                environ["wsgi.input"].read()
            except Exception:
                start_response(status, [("Content-Type", "text/plain")])
            return [b"sorry"]

        served = serve(ThreadingHTTPServer, WSGIHandler.serving(application), max_body_size=11)
        answer = served.exchange(CHUNKED + CHUNKS)
        assert seen in answer.partition(b"\n")[0] + b"\n"
        assert (b"sorry" in answer) is (seen == b"400")


class TestRawBodies:
    """Handlers that decode chunked bodies themselves, as programs for the standard module do."""

    class Decodes(Echo):
        decodes_chunked = False

        def do_POST(self) -> None:
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                assert self.rfile.read(2) == b"\r\n"
            self.send_response_only(200)
            self.send_header("Content-Length", len(content))
            self.end_headers()
            self.wfile.write(content)

    @every_model
    def test_are_as_the_client_has_sent_them(self, serve: Serve, server_class: Any) -> None:
        answer = serve(server_class, self.Decodes).exchange((CHUNKED + CHUNKS) * 2 + NEXT)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"\r\n\r\nhello, world") == 2  # the empty line at their end was left

    def test_of_a_length_are_as_ever(self, serve: Serve) -> None:
        class Reads(Echo):
            decodes_chunked = False

        assert serve(ThreadingHTTPServer, Reads).exchange(of_length(2, b"ab") + NEXT).count(b"200 OK") == 2

    @every_model
    def test_are_bounded(self, serve: Serve, server_class: Any) -> None:
        class Reads(Echo):
            decodes_chunked = False

        served = serve(server_class, Reads, max_body_size=12)
        assert CHUNKS + b"HTTP/1.1 200 OK" in served.exchange(CHUNKED + CHUNKS + NEXT)
        served = serve(server_class, Reads, max_body_size=11)
        assert served.exchange(CHUNKED + CHUNKS + NEXT).startswith(REFUSED)
        assert served.exchange(CHUNKED + b"5;\n\r\n").startswith(b"HTTP/1.1 400 Bad chunk size\r\n")

    def test_reach_no_application(self) -> None:
        def application(environ: Any, start_response: Any) -> list[bytes]:
            content = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [content]

        class Base(BaseHTTPRequestHandler):
            decodes_chunked = False

        class Handler(WSGIHandler, Base):
            pass

        assert converse(Handler.serving(application), CHUNKED + CHUNKS).endswith(b"hello, world")


def test_who_serves_a_network_has_a_bound() -> None:
    assert NETWORK_DEFAULTS["max_body_size"] == 64 << 20
    assert HTTPServer.max_body_size is None


@pytest.mark.parametrize("value", [-1, 1 << 63, 1.5, True, "1"])
def test_a_size_is_a_number_of_bytes(value: Any) -> None:
    with pytest.raises(SettingError, match=r"max_body_size must be a whole number of bytes from 0 to \d+, or None"):
        HTTPServer(("127.0.0.1", 0), Echo, max_body_size=value)


@pytest.mark.parametrize("value", [0, (1 << 63) - 1, None])
def test_a_size_may_be_that_of_any_file(value: int | None) -> None:
    with HTTPServer(("127.0.0.1", 0), Echo, max_body_size=value) as server:
        assert server.max_body_size == value
