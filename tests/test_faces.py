"""`doorkeep.socketserver` has the standard module's names, and they take, default to and reach what those do.

Held against the `socketserver` of the Python that runs the tests. What is newer than that is listed here.
"""

from __future__ import annotations

import inspect
import selectors
import socket
import socketserver as standard
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from doorkeep import server as room
from doorkeep import socketserver as ours
from doorkeep.concurrency.threads import _Threads
from doorkeep.handlers import _SocketWriter
from doorkeep.testing import serving
from doorkeep.testing.plugin import Serve
from tests.sample_handlers import Upper

# Python 3.12 adds the last two; elsewhere than on Linux and its like the standard module has fewer.
ALL = {
    "BaseRequestHandler", "BaseServer", "DatagramRequestHandler", "ForkingMixIn", "ForkingTCPServer",
    "ForkingUDPServer", "StreamRequestHandler", "TCPServer", "ThreadingMixIn", "ThreadingTCPServer",
    "ThreadingUDPServer", "ThreadingUnixDatagramServer", "ThreadingUnixStreamServer", "UDPServer",
    "UnixDatagramServer", "UnixStreamServer", "ForkingUnixDatagramServer", "ForkingUnixStreamServer",
}  # fmt: skip
# What programs, and the tests of the standard library, reach into.
REACHED_INTO = [
    "_NoThreads", "_ServerSelector", "_SocketWriter", "_Threads", "os", "selectors", "socket", "sys", "threading",
]  # fmt: skip
COMMON = sorted(ALL & set(standard.__all__))
OTHER_DEFAULTS: dict[str, Any] = {"request_queue_size": socket.SOMAXCONN}


def test_exports_the_names_of_the_standard_module() -> None:
    assert len(ours.__all__) == len(set(ours.__all__))
    assert set(ours.__all__) == ALL
    assert set(standard.__all__) <= ALL


@pytest.mark.parametrize("name", REACHED_INTO)
def test_has_the_names_that_programs_reach_into(name: str) -> None:
    assert hasattr(standard, name)
    assert type(getattr(ours, name)) is type(getattr(standard, name))


@pytest.mark.parametrize("name", COMMON)
def test_classes_are_related_as_in_the_standard_module(name: str) -> None:
    theirs, own = getattr(standard, name), getattr(ours, name)
    bases = {base.__name__ for base in theirs.__mro__}
    assert bases <= {base.__name__ for base in own.__mro__}
    assert {other for other in COMMON if issubclass(own, getattr(ours, other))} == bases & set(COMMON)


# The class and the name of each member that the standard module has.
MEMBERS = [
    (class_name, name)
    for class_name in COMMON
    for name in sorted(dir(getattr(standard, class_name)))
    if name == "__init__" or not name.startswith("_")
]
METHODS = [member for member in MEMBERS if inspect.isfunction(getattr(getattr(standard, member[0]), member[1]))]
ATTRIBUTES = [member for member in MEMBERS if member not in METHODS]


@pytest.mark.parametrize(("class_name", "name"), METHODS)
def test_methods_take_what_the_standard_ones_take(class_name: str, name: str) -> None:
    theirs = inspect.signature(getattr(getattr(standard, class_name), name)).parameters.values()
    own = inspect.signature(getattr(getattr(ours, class_name), name)).parameters.values()
    more = [parameter for parameter in own if parameter.kind is parameter.VAR_KEYWORD]
    assert [(each.name, each.kind, each.default) for each in own if each not in more] == [
        (each.name, each.kind, each.default) for each in theirs
    ]
    assert [parameter.name for parameter in more] in ([], ["settings"])


@pytest.mark.parametrize(("class_name", "name"), ATTRIBUTES)
def test_attributes_default_to_what_the_standard_ones_do(class_name: str, name: str) -> None:
    expected = OTHER_DEFAULTS.get(name, getattr(getattr(standard, class_name), name))
    assert getattr(getattr(ours, class_name), name) == expected
    assert type(getattr(getattr(ours, class_name), name)) is type(expected)


def test_a_server_has_the_attributes_of_a_standard_one() -> None:
    handler: Any = Upper
    with (
        standard.ThreadingTCPServer(("127.0.0.1", 0), handler) as theirs,
        ours.ThreadingTCPServer(("127.0.0.1", 0), handler) as own,
    ):
        assert vars(theirs).keys() <= vars(own).keys()
        assert own.RequestHandlerClass is handler
        assert own.server_address == own.socket.getsockname()


class TestPatching:
    """What a program puts into the module is used by the code behind it, wherever that lives."""

    def test_the_selector(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[object] = []

        class Selector(selectors.SelectSelector):
            def __init__(self) -> None:
                made.append(self)
                super().__init__()

        monkeypatch.setattr(ours, "_ServerSelector", Selector)
        with serving(ours.ThreadingTCPServer, Upper) as served:
            assert served.exchange(b"hello\n") == b"HELLO\n"
        assert len(made) == 1
        with ours.TCPServer(("127.0.0.1", 0), Upper) as server:
            server.timeout = 0
            server.handle_request()
        assert len(made) == 2

    def test_the_list_of_threads(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        class Threads(_Threads):
            pass

        monkeypatch.setattr(ours, "_Threads", Threads)
        served = serve(ours.ThreadingTCPServer, Upper)
        assert served.exchange(b"hello\n") == b"HELLO\n"
        assert type(served.server._threads) is Threads

    def test_the_writer(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        class Exclaims(_SocketWriter):
            def write(self, b: Any) -> int:
                return super().write(bytes(b) + b"!")

        monkeypatch.setattr(ours, "_SocketWriter", Exclaims)
        assert serve(ours.ThreadingTCPServer, Upper).exchange(b"hello\n") == b"HELLO\n!"

    def test_a_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []

        def create(*arguments: Any) -> socket.socket:
            asked.append(arguments)
            return socket.socket(*arguments)

        fake = SimpleNamespace(**{**vars(socket), "socket": create})
        with monkeypatch.context() as patch:
            patch.setattr(ours, "socket", fake)
            ours.TCPServer(("127.0.0.1", 0), Upper).server_close()
        assert asked == [(socket.AF_INET, socket.SOCK_STREAM)]
        ours.TCPServer(("127.0.0.1", 0), Upper).server_close()
        assert len(asked) == 1

    def test_a_name_of_the_programs_own_stays_in_the_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ours, "their_own", 5, raising=False)
        assert not hasattr(room, "their_own")

    def test_a_class_attribute_of_the_module_counts_for_all_servers(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handled: list[bool] = []

        class Looks(ours.BaseRequestHandler):
            def handle(self) -> None:
                handled.append(threading.current_thread().daemon)
                self.request.sendall(b"done")

        monkeypatch.setattr(ours.ThreadingMixIn, "daemon_threads", True)
        monkeypatch.setattr(ours.TCPServer, "allow_reuse_address", True)
        served = serve(ours.ThreadingTCPServer, Looks)
        assert served.exchange(b"") == b"done"
        assert handled == [True]
        assert served.server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
