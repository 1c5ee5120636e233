"""The end of an exchange: what is left of its request is read, while the client has its answer."""

from __future__ import annotations

from typing import Any

import pytest

from doorkeep.http import handler
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.models import in_one_process


class Leaves(BaseHTTPRequestHandler):
    """Answers without reading a body."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@in_one_process
@pytest.mark.parametrize("wbufsize", [0, -1])
def test_the_answer_leaves_before_the_rest_is_waited_for(wbufsize: int, server_class: Any, serve: Serve) -> None:
    client = serve(server_class, type("Buffered", (Leaves,), {"wbufsize": wbufsize})).client
    with client.makefile("rb") as answers:
        for _ in range(2):
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234")
            while answers.readline() != b"\r\n":
                pass
            assert answers.read(2) == b"ok"
            client.sendall(b"56789")


def test_who_waits_to_send_a_body_is_not_lingered_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a client sends nothing more, and would be waited for in vain."""
    lingered: list[float] = []
    monkeypatch.setattr(handler, "linger", lambda connection, seconds: lingered.append(seconds))
    client = serve(ThreadingHTTPServer, Leaves).client
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
    with client.makefile("rb") as answer:
        assert answer.read().endswith(b"\r\nConnection: close\r\n\r\nok")
    assert lingered == []
