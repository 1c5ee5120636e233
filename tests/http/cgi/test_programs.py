"""CGIHTTPRequestHandler: programs run for requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from typing import Any
from unittest import mock

import pytest

from doorkeep.http import cgi
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.served import Served
from tests.background import eventually
from tests.http.cgi.serving import Handler, ServePrograms
from tests.http.fetching import fetch
from tests.http.models import on_every_server


@on_every_server
@pytest.mark.parametrize("protocol_version", ["HTTP/1.0", "HTTP/1.1"])
def test_runs_a_program(server_class: type[HTTPServer], protocol_version: str, serve_programs: ServePrograms) -> None:
    response = fetch(serve_programs(server_class, protocol_version=protocol_version), "/cgi-bin/hello.sh")
    assert (response.status, response.reason) == (200, "Script output follows")
    assert response.headers["Content-Type"] == "text/plain"
    assert response.body == b"hello\n"


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_a_body_reaches_it(server_class: type[HTTPServer], serve_programs: ServePrograms) -> None:
    body = os.urandom(300_000)
    request = b"POST /cgi-bin/echo.sh HTTP/1.0\r\nContent-Length: 300000\r\n\r\n" + body
    assert serve_programs(server_class).exchange(request).partition(b"\r\n\r\n")[2] == body


def test_a_chunked_body_reaches_it(serve_programs: ServePrograms) -> None:
    request = (
        b"POST /cgi-bin/echo.sh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n"
    )
    answer = serve_programs(protocol_version="HTTP/1.1").exchange(request)
    assert answer.endswith(b"\r\n\r\nhello you")
    assert b"\r\nConnection: close\r\n" in answer


@on_every_server
def test_bodies_are_bounded(server_class: type[HTTPServer], serve_programs: ServePrograms) -> None:
    served = serve_programs(server_class, {"max_body_size": 11}, protocol_version="HTTP/1.1")
    head = b"POST /cgi-bin/echo.sh HTTP/1.1\r\nConnection: close\r\n"
    for rest in (b"Content-Length: 12\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n"):
        assert served.exchange(head + rest).startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    answer = served.exchange(head + b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")
    assert answer.endswith(b"hello world")


def test_without_a_body_nothing_is_waited_for(serve_programs: ServePrograms) -> None:
    client = serve_programs(protocol_version="HTTP/1.1").client
    client.sendall(b"GET /cgi-bin/hello.sh HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert client.makefile("rb").read().endswith(b"hello\n")


def test_head_has_no_body(programs: Served[Any]) -> None:
    answer = programs.exchange(b"HEAD /cgi-bin/hello.sh HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"Content-Type: text/plain\r\n\r\n")


@pytest.mark.parametrize(
    ("blocks", "head"),
    [
        ((b"A: b\n\nbody",), b"A: b\n\n"),
        ((b"A: b\r\n\r\nbody\n\n",), b"A: b\r\n\r\n"),
        ((b"A: b\n", b"\nbody"), b"A: b\n\n"),
        ((b"A: b\r", b"\n", b"\r", b"\nbody"), b"A: b\r\n\r\n"),
        ((b"\nbody",), b"\n"),
        ((b"A: b",), b"A: b"),
    ],
)
def test_where_the_head_ends(blocks: tuple[bytes, ...], head: bytes) -> None:
    found, before, is_over = b"", b"\n", False
    for block in blocks:
        if not is_over:
            part, before, is_over = cgi._up_to_empty_line(before, block)
            found += part
    assert found == head


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_output_comes_as_it_is_written(server_class: type[HTTPServer], serve_programs: ServePrograms) -> None:
    served = serve_programs(server_class)
    client = served.client
    client.sendall(b"GET /cgi-bin/long.sh HTTP/1.0\r\n\r\n")
    with client.makefile("rb") as answer:
        while answer.readline() not in (b"\r\n", b"\n"):
            pass
        number = int(answer.readline())  # of the process, which goes on
        assert fetch(served, "/cgi-bin/hello.sh").body == b"hello\n"  # others are served meanwhile
        os.kill(number, signal.SIGTERM)
        assert answer.read() == b""


@pytest.mark.parametrize(
    ("query", "arguments"), [("", "<>"), ("one+two", "<one two>"), ("one=two", ""), ("%2Dx", "<%2Dx>")]
)
def test_arguments(query: str, arguments: str, programs: Served[Any]) -> None:
    assert fetch(programs, f"/cgi-bin/arguments.sh?{query}").body.decode().strip() == arguments


def test_a_failure_is_logged(serve_programs: ServePrograms) -> None:
    log_error = mock.Mock()
    assert fetch(serve_programs(log_error=log_error), "/cgi-bin/fails.sh").status == 200
    assert eventually(lambda: log_error.call_args == mock.call("CGI script exit code 3"))


@pytest.mark.parametrize(
    "target",
    [
        "/cgi-bin/below/deep.sh",
        "/cgi-bin%2fhello.sh",
        "cgi-bin/hello.sh",
        "/x/../cgi-bin/./hello.sh",
        "//cgi-bin//hello.sh/",
    ],
)
def test_where_programs_are(target: str, programs: Served[Any]) -> None:
    assert programs.exchange(f"GET {target} HTTP/1.0\r\n\r\n".encode()).endswith(b"hello\n")


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("/cgi-bin/missing.sh", 404, "No such CGI script ('/cgi-bin/missing.sh')"),
        ("/cgi-bin/below", 403, "CGI script is not a plain file ('/cgi-bin/below')"),
        ("/cgi-bin/plain.txt", 403, "CGI script is not executable ('/cgi-bin/plain.txt')"),
        ("/cgi-bin/hello.sh%00", 404, r"No such CGI script ('/cgi-bin/hello.sh\x00')"),
        ("/cgi-bin/hello.sh/%00", 500, "Internal Server Error"),
        ("/cgi-bin/no-interpreter.sh", 500, "Internal Server Error"),
        ("/cgi-bin/denied.sh", 403, "Forbidden"),
        ("/../cgi-bin/hello.sh", 404, "File not found"),
        ("/..", 404, "File not found"),
        ("/%2e%2e/cgi-bin/hello.sh", 404, "File not found"),
    ],
)
def test_what_cannot_be_run(target: str, status: int, reason: str, programs: Served[Any]) -> None:
    for method in ("GET", "POST"):
        response = fetch(programs, target, method)
        assert (response.status, response.reason) == (status, reason)
        assert b"printf" not in response.body


def test_other_files_are_served(programs: Served[Any]) -> None:
    assert fetch(programs, "/file.txt").body == b"a file"
    refusal = fetch(programs, "/file.txt", "POST")
    assert (refusal.status, refusal.reason) == (501, "Can only POST to CGI scripts")


def test_without_fork_python_runs_python(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = mock.Mock()
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(os, "name", "nt")
    try:
        cgi._start("C:/a.py", ["a.py", "word"], {}, mock.Mock(), True)
    finally:
        monkeypatch.undo()
    assert popen.call_args.args == ([sys.executable, "-u", "C:/a.py", "word"],)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="not deprecated there")
def test_is_deprecated() -> None:
    request = mock.Mock()
    request.makefile.return_value.readline.return_value = b""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Handler(request, ("127.0.0.1", 1), mock.Mock())
    assert "http.server.CGIHTTPRequestHandler" in str(caught[0].message)
