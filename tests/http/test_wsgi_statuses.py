"""Statuses that are not what an application says, or whose responses are not (RFC 9110 sections 6.4.1 and 15.3.6)."""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from doorkeep.http.bodies import BodyError
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing.plugin import Serve
from tests.http.applications import TEXT, answer


class Quiet(WSGIHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("length", [(), (("Content-Length", "3"),)])
@pytest.mark.parametrize(
    ("status", "told"),
    [("204 No Content", None), ("205 Reset Content", "0")],
)
@pytest.mark.parametrize(
    "body_of", [lambda: [b"abc"], lambda: iter([b"a", b"bc"]), list], ids=["list", "iterator", "none"]
)
def test_the_next_response_follows_at_once(
    status: str, told: str | None, length: Any, body_of: Any, serve: Serve
) -> None:
    def application(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/next":
            start_response("200 OK", [TEXT])
            return [b"next"]
        start_response(status, [TEXT, *length])
        return body_of()

    host, port = serve(ThreadingHTTPServer, Quiet.serving(application)).address
    client = http.client.HTTPConnection(host, port, timeout=30)
    try:
        client.request("GET", "/")
        response = client.getresponse()
        assert (f"{response.status} {response.reason}", response.read()) == (status, b"")
        assert response.headers.get("Content-Length") == told
        assert "Transfer-Encoding" not in response.headers
        client.request("GET", "/next")
        assert client.getresponse().read() == b"next"
    finally:
        client.close()


def test_exc_info_may_be_named() -> None:
    """Not by the PEP, but as `wsgiref` and other servers take it."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [TEXT], exc_info=None)
        return [b"named"]

    assert answer(application, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")[1] == b"named"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"5\r\nhello\r\n1000\r\n", b"413 Content Too Large"),
        (b"5\r\nhello\r\nno size\r\n", b"400 Bad chunk size"),
    ],
)
def test_what_is_wrong_with_a_body_is_told_where_the_application_makes_500_of_it(
    body: bytes, status: bytes, serve: Serve
) -> None:
    found: list[BaseException] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except BodyError as error:  # as a framework does, of whatever a view raises
            found.append(error)
        start_response("500 Internal Server Error", [TEXT])
        return [b"sorry"]

    served = serve(ThreadingHTTPServer, Quiet.serving(application), max_body_size=100)
    answer = served.exchange(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"sorry" not in answer
    assert len(found) == 1
