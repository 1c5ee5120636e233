"""Bodies of requests as handlers read them, or leave them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from doorkeep.http import handler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.echo import Echo, Handler, all_of, bodies, receive_until, statuses
from tests.http.models import on_every_server


@on_every_server
class TestExpectations:
    REQUEST = b"%b / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    def test_are_met_when_the_body_is_read(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo).client
        client.sendall(self.REQUEST % b"POST")
        assert receive_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        receive_until(client, b"POST / hello")

    def test_the_connection_closes_if_it_is_not_read(self, serve: Serve, server_class: Any) -> None:
        client = serve(server_class, Echo).client
        client.sendall(self.REQUEST % b"LEAVE")
        answer = all_of(client)
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
        assert statuses(all_of(client)) == [417]

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
        assert bodies(all_of(client)) == [b"GET / "]


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
        assert receive_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"xhello")
        client.shutdown(1)
        assert all_of(client).endswith(b"\r\n\r\nhello")

    @on_every_server
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

    @on_every_server
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
        assert all_of(client).endswith(b"left")
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
