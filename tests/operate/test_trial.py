"""Serving a handler class for a trial."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import trustme

from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import HTTPServer, ThreadingHTTPSServer
from doorkeep.operate.trial import best_family, serve_until_interrupted


class Interrupted:
    """Ends `serve_forever` at once, as Ctrl-C would."""

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        raise KeyboardInterrupt


class Server(Interrupted, HTTPServer):
    pass


class TLSServer(Interrupted, ThreadingHTTPSServer):
    pass


class Handler(BaseHTTPRequestHandler):
    pass


def test_says_where_it_listens_and_goodbye(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        serve_until_interrupted(Handler, Server, protocol="HTTP/1.1", port=0, bind="127.0.0.1")
    assert ended.value.code == 0
    first, *rest = capsys.readouterr().out.splitlines()
    port = first.split()[5]
    assert first == f"Serving HTTP on 127.0.0.1 port {port} (http://127.0.0.1:{port}/) ..."
    assert rest == ["", "Keyboard interrupt received, exiting."]
    assert Handler.protocol_version == "HTTP/1.1"


def test_ipv6(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve_until_interrupted(Handler, Server, port=0, bind="::1")
    assert "Serving HTTP on ::1 port" in (told := capsys.readouterr().out)
    assert "(http://[::1]:" in told


def test_tls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = tmp_path / "both.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    with pytest.raises(SystemExit):
        serve_until_interrupted(Handler, TLSServer, port=0, bind="127.0.0.1", tls_cert=certificate)
    assert "Serving HTTPS on 127.0.0.1 port" in (told := capsys.readouterr().out)
    assert "(https://127.0.0.1:" in told


@pytest.mark.parametrize(
    ("host", "families"),
    [
        (None, {socket.AF_INET, socket.AF_INET6}),
        ("127.0.0.1", {socket.AF_INET}),
        ("::", {socket.AF_INET6}),
    ],
)
def test_best_family(host: str | None, families: set[Any]) -> None:
    family, address = best_family(host, 8000)
    assert family in families
    assert address[1] == 8000


def test_a_server_that_ends_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    server = type("Server", (HTTPServer,), {"serve_forever": mock.Mock()})
    serve_until_interrupted(Handler, server, port=0, bind="127.0.0.1")
    assert "Keyboard" not in capsys.readouterr().out
