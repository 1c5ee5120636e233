"""What a program calls its own attributes must not touch what the server calls its."""

from __future__ import annotations

import socketserver

import pytest

import doorkeep
from doorkeep import BaseServer, TCPServer, ThreadingTCPServer, UDPServer
from doorkeep.settings import settings_of
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import Upper

PROMISED = {"drain", "resume", "stats", "suspend"}


@pytest.mark.parametrize("name", ["BaseServer", "TCPServer", "UDPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_servers_have_no_public_names_but_the_standard_ones_settings_and_the_promised(name: str) -> None:
    ours, standard = getattr(doorkeep, name), getattr(socketserver, name)
    added = {attribute for attribute in dir(ours) if not attribute.startswith("_")} - set(dir(standard))
    # The base class has what the standard library's has from TCPServer on.
    assert added - set(settings_of(ours)) - PROMISED <= {"fileno", "get_request", "socket"}


def test_an_instance_adds_none_either() -> None:
    handler = socketserver.BaseRequestHandler
    with TCPServer(("127.0.0.1", 0), handler) as ours, socketserver.TCPServer(("127.0.0.1", 0), handler) as standard:
        assert {name for name in set(vars(ours)) - set(vars(standard)) if not name.startswith("_")} == set()


def test_a_program_may_call_its_attributes_as_it_likes(serve: Serve) -> None:
    class Own(ThreadingTCPServer):
        """As chat servers do."""

        def __init__(self, address: tuple[str, int], handler: type) -> None:
            super().__init__(address, handler)
            for name in ("clients", "connections", "counters", "deadlines", "prologue", "refuse", "stats", "wake"):
                setattr(self, name, [])

        def allow(self, client: str) -> bool:  # type: ignore[override]  # it knows of no setting
            return client == "127.0.0.1"

    served = serve(Own, Upper)
    assert served.exchange(b"hello\n") == b"HELLO\n"
    assert vars(served.server)["connections"] == []


def test_the_base_has_no_socket() -> None:
    assert not hasattr(BaseServer(None, Upper), "socket")
    assert issubclass(UDPServer, BaseServer)
