"""Who is let in where requests are tasks: limits, refusals and a pause."""

from __future__ import annotations

from typing import Any

import pytest

from doorkeep import AsyncTCPServer
from doorkeep.events import ListenerSuspended, RequestRefused
from doorkeep.testing import events_of
from doorkeep.testing.plugin import Serve
from tests.concurrency.async_handlers import Held, Upper

pytestmark = pytest.mark.usefixtures("each_event_loop")


class TestAdmission:
    def test_at_the_limit_clients_wait(self, serve: Serve) -> None:
        with events_of(ListenerSuspended) as events:
            service = serve(AsyncTCPServer, Held, max_connections=2)
            first, second, third = (service.connect() for _ in range(3))
            assert first.recv(3) == second.recv(3) == b"in\n"
            assert events.wait_for(ListenerSuspended).reason == "limit"
            assert service.server.stats().accepted == 2
            first.close()
            assert third.recv(3) == b"in\n"

    def test_at_the_limit_clients_are_turned_away(self, serve: Serve) -> None:
        service = serve(AsyncTCPServer, Held, max_connections=1, at_limit="close")
        first = service.connect()
        assert first.recv(3) == b"in\n"
        with events_of(RequestRefused) as events:
            assert service.connect().recv(3) == b""
            assert events.wait_for(RequestRefused).reason == "limit"

    @pytest.mark.parametrize(("setting", "reason"), [({"deny": "127.0.0.0/8"}, "denied"), ({}, "verify")])
    def test_who_is_refused_reaches_no_task(self, serve: Serve, setting: dict[str, Any], reason: str) -> None:
        class Refuses(AsyncTCPServer):
            def verify_request(self, request: Any, client_address: Any) -> bool:
                return False

        service = serve(Refuses, Upper, **setting)
        assert service.exchange(b"") == b""
        assert service.server.stats().refused == {reason: 1}

    def test_suspended_the_server_lets_clients_wait(self, serve: Serve) -> None:
        service = serve(AsyncTCPServer, Upper)
        service.client.sendall(b"hello\n")
        assert service.client.recv(6) == b"HELLO\n"
        with events_of(ListenerSuspended) as events:
            service.server.suspend()
            events.wait_for(ListenerSuspended)
        waiting = service.connect()
        waiting.sendall(b"later\n")
        service.client.sendall(b"now\n")
        assert service.client.recv(4) == b"NOW\n"
        assert service.server.stats().accepted == 1
        service.server.resume()
        assert waiting.recv(6) == b"LATER\n"
