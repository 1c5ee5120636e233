"""WebSockets whose server ends."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from doorkeep.green import Event
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.background import Background, eventually
from tests.http.encryption import encrypted
from tests.http.models import in_one_process, on_every_model
from tests.http.websocket_client import CLOSE, TEXT, Frame, RawClient, close_payload, frame
from tests.http.websocket_handlers import Echo, noting


def opened(served: Any) -> RawClient:
    """Return a client whose messages have been echoed once."""
    client = RawClient(served.connect())
    client.send(frame(TEXT, b"hi"))
    assert client.receive() == Frame(8, TEXT, b"hi")
    return client


def agree_to_end(client: RawClient) -> None:
    """Receive the close of a server that goes away, and answer it."""
    assert client.receive() == Frame(8, CLOSE, close_payload(1001))
    client.send(frame(CLOSE, close_payload(1001)))


class TestDrains:
    @on_every_model
    def test_close_each_with_1001(self, server_class: Any, serve: Serve) -> None:
        served = serve(server_class, noting())
        clients = [opened(served) for _ in range(3)]
        drain = Background(served.server.drain, 60)
        for client in clients:
            with client:
                assert client.receive() == Frame(8, CLOSE, close_payload(1001))
                client.send(frame(TEXT, b"one more"))  # which is received
                client.send(frame(CLOSE, close_payload(1001)))
                assert client.receive() is None
        assert drain.result(90) == 0

    @in_one_process
    def test_end_the_iteration(self, server_class: Any, serve: Serve) -> None:
        handler = noting()
        served = serve(server_class, handler)
        with opened(served) as client:
            drain = Background(served.server.drain, 60)
            agree_to_end(client)
            assert handler.ended.get(timeout=30) == (1001, "")
        assert drain.result(90) == 0

    @in_one_process
    def test_under_tls(self, server_class: Any, serve: Serve, tmp_path: Path) -> None:
        certificate, context = encrypted(tmp_path)
        served = serve(server_class, Echo, tls_certificate=certificate)
        with RawClient(context.wrap_socket(served.connect(), server_hostname="localhost")) as client:
            client.send(frame(TEXT, b"hi"))
            assert client.receive() == Frame(8, TEXT, b"hi")
            drain = Background(served.server.drain, 60)
            agree_to_end(client)
            assert client.receive() is None
        assert drain.result(90) == 0

    @in_one_process
    def test_cut_who_does_not_answer(self, server_class: Any, serve: Serve) -> None:
        handler = noting()
        served = serve(server_class, handler)
        with opened(served) as client:
            drain = Background(served.server.drain, 0.2)
            assert handler.ended.get(timeout=30) == (1006, "")
            assert drain.result(90) == 1
            assert client.receive() in (Frame(8, CLOSE, close_payload(1001)), None)

    @in_one_process
    def test_let_no_more_begin(self, server_class: Any, serve: Serve) -> None:
        """A WebSocket that opens while the server drains is closed at once."""
        release = Event()

        class Waits(Echo):
            def check_origin(self, origin: str | None) -> bool:
                asked.put(None)
                return release.wait(30)

        asked: queue.Queue[None] = queue.Queue()
        handler: Any = noting(Waits)
        served = serve(server_class, handler)
        client = served.connect()
        opening = Background(RawClient, client)
        asked.get(timeout=30)
        drain = Background(served.server.drain, 60)
        assert eventually(lambda: served.server._drain_begun)
        release.set()
        with opening.result() as late:
            agree_to_end(late)
            assert handler.ended.get(timeout=30) == (1001, "")
        assert drain.result(90) == 0


@pytest.mark.parametrize("server_class", [HTTPServer, GreenHTTPServer])
def test_the_end_of_a_loop_closes_what_runs_in_its_thread(server_class: Any, serve: Serve) -> None:
    served = serve(server_class, noting())
    with opened(served) as client:
        ending = Background(served.server.shutdown)
        agree_to_end(client)
        assert client.receive() is None
    ending.result()


def test_the_end_of_a_loop_leaves_other_threads_alone(serve: Serve) -> None:
    served = serve(ThreadingHTTPServer, noting())
    with opened(served) as client:
        served.server.shutdown()
        client.send(frame(TEXT, b"still here?"))
        assert client.receive() == Frame(8, TEXT, b"still here?")
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.close_code() == 1000
