"""Connections that become another protocol's."""

from __future__ import annotations

from typing import Any

from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.http.echo import Echo, Handler, bodies
from tests.http.models import on_every_server


class TestUpgrades:
    @on_every_server
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
        answer = serve(ThreadingHTTPServer, Echo).exchange(b"LEAVE" + request[3:] + request)
        assert bodies(answer) == [b"left", b"GET / "]

    def test_its_body_is_bounded(self, serve: Serve) -> None:
        request = b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab"
        assert bodies(serve(ThreadingHTTPServer, Echo).exchange(request * 2)) == [b"POST / ab"] * 2
