"""What WSGI applications are called with: the environ, and in it the body of the request."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import sys
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse
from wsgiref.types import WSGIEnvironment as Environ
from wsgiref.validate import validator

import pytest
import trustme

from doorkeep import ForkingMixIn, ThreadingTCPServer
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.testing import converse
from doorkeep.testing.plugin import Serve
from tests.http.applications import CLOSE, TEXT, echo, environ_of, returning
from tests.http.models import in_one_process, on_every_model


def test_environ_of_a_request() -> None:
    environ = environ_of(
        b"POST /a%20b/%C3%A4?x=%20&y HTTP/1.1\r\nHost: example.org:8000\r\nContent-Type: text/plain\r\n"
        b"Content-Length: 3\r\nAccept: a/b\r\nX-Thing: one\r\n\r\nabc",
        client_address=("192.0.2.1", 12345),
    )
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/a b/\xc3\xa4"
    assert environ["QUERY_STRING"] == "x=%20&y"
    assert environ["REQUEST_URI"] == "/a%20b/%C3%A4?x=%20&y"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "12345")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "3")
    assert environ["HTTP_HOST"] == "example.org:8000"
    assert environ["HTTP_ACCEPT"] == "a/b"
    assert environ["HTTP_X_THING"] == "one"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.run_once"] is False
    assert "HTTPS" not in environ


def test_environ_is_a_dict_of_its_own_for_each_request() -> None:
    seen: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert type(environ) is dict
        seen.append(environ.setdefault("mine", len(seen)))
        start_response("200 OK", [TEXT])
        return []

    converse(WSGIHandler.serving(application), b"GET / HTTP/1.1\r\n\r\n" * 2)
    assert seen == [0, 1]


def test_latin_1_everywhere() -> None:
    environ = environ_of(b"GET /\xe4?\xf6 HTTP/1.1\r\nX-Name: \xfc\r\n\r\n")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_X_NAME"]) == ("/\xe4", "\xf6", "\xfc")


def test_repeated_headers_are_joined() -> None:
    environ = environ_of(b"GET / HTTP/1.1\r\nAccept: a\r\nCookie: b=1\r\nACCEPT: c\r\ncookie: d=2\r\n\r\n")
    assert environ["HTTP_ACCEPT"] == "a,c"
    assert environ["HTTP_COOKIE"] == "b=1; d=2"


def test_headers_that_could_be_taken_for_others_are_left_out() -> None:
    environ = environ_of(
        b"GET / HTTP/1.1\r\nX_Forwarded_For: 1\r\nContent_Length: 7\r\nX-Forwarded_For: 2\r\nProxy: evil:80\r\n\r\n"
    )
    assert not any(key.startswith("HTTP_") for key in environ)
    assert "CONTENT_LENGTH" not in environ
    assert "" not in environ


def test_headers_that_the_handler_has_changed() -> None:
    class Handler(WSGIHandler):
        @staticmethod
        def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
            start_response("200 OK", [TEXT])
            return [repr({key: value for key, value in environ.items() if key.startswith("HTTP_")}).encode()]

        def parse_request(self) -> bool:
            if not super().parse_request():
                return False
            del self.headers["Cookie"]
            self.headers["X-User"] = "ann"
            return True

    response = converse(Handler, b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n")
    assert response.endswith(b"{'HTTP_HOST': 'h', 'HTTP_X_USER': 'ann'}")


def test_names_of_clients_do_not_pile_up() -> None:
    from doorkeep.http import environ

    for number in range(30):
        environ_of(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % (number * 50 + i) for i in range(50)) + b"\r\n")
    assert len(environ._keys) <= 500


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://example.org/a?b", "/a", "b", "example.org"),
        (b"HTTP://user@example.org:81/a", "/a", "", "example.org:81"),
        (b"http://example.org", "/", "", "example.org"),
        (b"http://example.org?b", "/", "b", "example.org"),
        (b"*", "", "", "host"),
        (b"//evil.example/a", "/evil.example/a", "", "host"),
        (b"/a?b?c", "/a", "b?c", "host"),
    ],
)
def test_targets_in_other_forms(target: bytes, path: str, query: str, host: str) -> None:
    environ = environ_of(b"OPTIONS %b HTTP/1.1\r\nHost: host\r\n\r\n" % target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["HTTP_HOST"]) == (path, query, host)


@in_one_process
def test_environ_of_a_server(server_class: Any, serve: Serve) -> None:
    found: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        found.append(environ)
        start_response("200 OK", [TEXT])
        return []

    served = serve(server_class, WSGIHandler.serving(application))
    with socket.create_connection(served.address) as client:
        local = client.getsockname()
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n" + CLOSE)
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 OK\r\n")
    (environ,) = found
    assert environ["SERVER_NAME"] == served.server.server_name
    assert environ["SERVER_PORT"] == str(served.address[1])
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (local[0], str(local[1]))
    assert environ["wsgi.multithread"] is True
    assert environ["wsgi.multiprocess"] is False


def test_servers_that_are_not_for_http(serve: Serve) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        return [f"{environ['SERVER_NAME']} {environ['SERVER_PORT']} {environ['wsgi.multithread']}".encode()]

    served = serve(ThreadingTCPServer, WSGIHandler.serving(application))
    answered = served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answered.endswith(f"\r\n\r\n127.0.0.1 {served.address[1]} True".encode())


def model_shown(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [TEXT])
    return [repr((environ["wsgi.multithread"], environ["wsgi.multiprocess"])).encode()]


def test_the_model_of_other_servers(serve: Serve) -> None:
    class ForkingHTTPServer(ForkingMixIn, HTTPServer):
        pass

    request = b"GET / HTTP/1.1\r\n" + CLOSE
    assert serve(ForkingHTTPServer, WSGIHandler.serving(model_shown)).exchange(request).endswith(b"(False, True)")
    assert serve(HTTPServer, WSGIHandler.serving(model_shown)).exchange(request).endswith(b"(False, False)")


def test_unix_sockets_have_a_name_and_a_port_all_the_same(serve: Serve, tmp_path: Path) -> None:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [TEXT])
        names = ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REMOTE_PORT")
        return [repr([environ[name] for name in names]).encode()]

    served = serve(ThreadingHTTPServer, WSGIHandler.serving(validator(application)), str(tmp_path / "socket"))
    answered = served.exchange(b"GET / HTTP/1.1\r\n" + CLOSE)
    assert answered.endswith(b"['localhost', '80', '', '']")


@in_one_process
def test_tls(server_class: Any, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    (tmp_path / "file").write_bytes(b"x" * 300_000)

    def application(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [TEXT, ("X-Scheme", environ["wsgi.url_scheme"]), ("X-HTTPS", environ["HTTPS"])])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    handler = WSGIHandler.serving(application)
    served = serve(server_class, handler, tls_certificate=str(tmp_path / "server.pem"))
    with context.wrap_socket(served.connect(), server_hostname="localhost") as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + CLOSE)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert (response.headers["X-Scheme"], response.headers["X-HTTPS"]) == ("https", "on")
        assert response.read() == b"x" * 300_000


# -- The body ------------------------------------------------------------------------------------------------------


@on_every_model
def test_bodies_are_bounded_and_connections_kept(server_class: Any, serve: Serve) -> None:
    served = serve(server_class, WSGIHandler.serving(echo))
    client = served.connect()
    client.sendall(
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n2\r\ngh\r\n0\r\n\r\n"
        b"GET / HTTP/1.1\r\n\r\n"
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n" + CLOSE + b"ijk"
    )
    bodies = []
    with client.makefile("rb") as file:
        for _ in range(5):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = http.client.parse_headers(file)
            bodies.append(file.read(int(headers["Content-Length"])))
        assert file.read() == b""
    assert bodies == [b"abc", b"defgh", b"", b"", b"ijk"]


@in_one_process
def test_what_the_application_does_not_read_is_no_request(server_class: Any, serve: Serve) -> None:
    served = serve(server_class, WSGIHandler.serving(returning(b"hello")))
    inner = b"GET /inner HTTP/1.1\r\n\r\n"
    answered = served.exchange(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%bGET / HTTP/1.1\r\n\r\n" % (23, inner))
    assert answered.count(b"HTTP/1.1 200 OK") == 2


@in_one_process
def test_continue_is_sent_once_the_body_is_read(server_class: Any, serve: Serve) -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n" + CLOSE
    client = serve(server_class, WSGIHandler.serving(echo)).connect()
    client.sendall(request)
    with client.makefile("rb") as file:
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert file.readline() == b"\r\n"
        client.sendall(b"abc")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        assert file.read().endswith(b"abc")
    client = serve(server_class, WSGIHandler.serving(returning(b"hello"))).connect()
    client.sendall(request)
    with client.makefile("rb") as file:
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        assert file.read().endswith(b"hello")


@pytest.mark.parametrize(
    ("body", "answered"), [(b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"400"), (b"Content-Length: 3\r\n\r\na", b"")]
)
def test_bodies_that_are_broken_are_the_clients_fault(
    body: bytes, answered: bytes, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(ThreadingHTTPServer, WSGIHandler.serving(echo))
    response = served.exchange(b"POST / HTTP/1.1\r\n" + body)
    assert response[9:12] == answered
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
