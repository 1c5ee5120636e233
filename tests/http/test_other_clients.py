"""Clients that others have written: each is answered as it expects."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests import prerequisites

REQUESTS = 200


class Reply(BaseHTTPRequestHandler):
    """Answers GET with a few bytes, and POST with the body of the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer_with(b"Hello, world!\n")

    def do_POST(self) -> None:
        self._answer_with(self.rfile.read())

    def _answer_with(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(params=[ThreadingHTTPServer, GreenHTTPServer])
def address(request: pytest.FixtureRequest, serve: Serve) -> str:
    """Return where the handler is served."""
    served: Any = serve(request.param, Reply)
    return f"http://127.0.0.1:{served.address[1]}/"


def output_of(*command: str) -> str:
    """Run a program, which must succeed; return what it prints."""
    prerequisites.command(command[0])
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_curl(address: str) -> None:
    assert output_of("curl", "--silent", "--show-error", "--fail", address, address) == "Hello, world!\n" * 2
    posted = output_of("curl", "--silent", "--show-error", "--fail", "--data-binary", "x" * 100_000, address)
    assert posted == "x" * 100_000
    chunked = ("--header", "Transfer-Encoding: chunked", "--data-binary", "piece by piece")
    assert output_of("curl", "--silent", "--show-error", "--fail", *chunked, address) == "piece by piece"


def test_wget(address: str) -> None:
    assert output_of("wget", "--quiet", "--output-document=-", address, address) == "Hello, world!\n" * 2
    assert output_of("wget", "--quiet", "--output-document=-", "--post-data=abc", address) == "abc"


@pytest.mark.parametrize("options", [[], ["-k"]])
def test_ab(address: str, options: list[str]) -> None:
    report = output_of("ab", *options, f"-n{REQUESTS}", "-c10", address)
    assert re.search(rf"Complete requests: +{REQUESTS}\n", report)
    assert re.search(r"Failed requests: +0\n", report)
    assert "Non-2xx" not in report
    if options:
        assert re.search(rf"Keep-Alive requests: +{REQUESTS}\n", report)


def test_h2load_with_http_1_1(address: str) -> None:
    report = output_of("h2load", "--h1", f"--requests={REQUESTS}", "--clients=10", address)
    assert f"{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in report
    assert f"{REQUESTS} 2xx" in report


def test_requests(address: str) -> None:
    prerequisites.module("requests")
    import requests

    with requests.Session() as session:
        for _ in range(2):
            assert session.get(address, timeout=30).text == "Hello, world!\n"
        assert session.post(address, data=iter([b"piece ", b"by ", b"piece"]), timeout=30).text == "piece by piece"
