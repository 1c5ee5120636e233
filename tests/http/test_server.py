"""`doorkeep.http.server` has the standard module's names, and they take, default to and reach what those do.

Held against the `http.server` of the Python that runs the tests. What is newer than that is listed here.
"""

from __future__ import annotations

import http.server as standard
import inspect
import sys
from types import ModuleType
from typing import Any

import pytest

import doorkeep
from doorkeep.http import server as ours
from doorkeep.http import servers
from doorkeep.testing.plugin import Serve
from tests.operate.commands import python

# Python 3.14 adds those of HTTPS.
ALL = {
    "BaseHTTPRequestHandler", "CGIHTTPRequestHandler", "HTTPSServer", "HTTPServer", "SimpleHTTPRequestHandler",
    "ThreadingHTTPSServer", "ThreadingHTTPServer",
}  # fmt: skip
COMMON = sorted(ALL & set(standard.__all__))
REACHED_INTO = sorted(name for name in vars(standard) if not name.startswith("__") and name != "argparse")
# Other values with the same meaning.
OTHER_DEFAULTS = {"allow_reuse_address", "error_message_format", "rbufsize", "request_queue_size"}

MEMBERS = [
    (class_name, name)
    for class_name in COMMON
    for name in sorted(dir(getattr(standard, class_name)))
    if name == "__init__" or not name.startswith("_")
]
METHODS = [member for member in MEMBERS if inspect.isfunction(getattr(getattr(standard, member[0]), member[1]))]
ATTRIBUTES = [member for member in MEMBERS if member not in METHODS and member[1] not in OTHER_DEFAULTS]
FUNCTIONS = ["test", "nobody_uid", "executable", "_get_best_family", "_url_collapse_path"]


class Handler(ours.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_exports_the_names_of_the_standard_module() -> None:
    assert len(ours.__all__) == len(set(ours.__all__))
    assert set(ours.__all__) == ALL
    assert set(standard.__all__) <= ALL


@pytest.mark.parametrize("name", REACHED_INTO)
def test_has_the_names_that_programs_reach_into(name: str) -> None:
    theirs, own = getattr(standard, name), getattr(ours, name)
    if isinstance(theirs, ModuleType) and name != "socketserver":
        assert own is theirs
    else:
        assert isinstance(own, type(theirs)) or (callable(own) and callable(theirs))


def test_has_the_version_that_programs_send() -> None:
    assert vars(ours)["__version__"] == vars(standard).get("__version__", "0.6")


@pytest.mark.parametrize("name", COMMON)
def test_classes_are_related_as_in_the_standard_module(name: str) -> None:
    theirs, own = getattr(standard, name), getattr(ours, name)
    assert {base.__name__ for base in theirs.__mro__} <= {base.__name__ for base in own.__mro__}
    assert {other for other in COMMON if issubclass(own, getattr(ours, other))} == {
        other for other in COMMON if issubclass(theirs, getattr(standard, other))
    }


def parameters_of(function: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("class_name", "name"), METHODS)
def test_methods_take_what_the_standard_ones_take(class_name: str, name: str) -> None:
    theirs = parameters_of(getattr(getattr(standard, class_name), name))
    own = parameters_of(getattr(getattr(ours, class_name), name))
    if name == "__init__" and own[-1][0] == "settings":
        own.pop()
    if theirs[:1] == own[:1] and any(kind is inspect.Parameter.VAR_POSITIONAL for _, kind, _ in [*theirs, *own]):
        return  # they hand on whatever they get
    assert own == theirs


@pytest.mark.parametrize(("class_name", "name"), ATTRIBUTES)
def test_attributes_default_to_what_the_standard_ones_do(class_name: str, name: str) -> None:
    expected, found = getattr(getattr(standard, class_name), name), getattr(getattr(ours, class_name), name)
    if isinstance(expected, dict):
        assert expected.items() <= found.items()
    else:
        assert found == expected


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_what_the_standard_ones_take(name: str) -> None:
    theirs, own = parameters_of(getattr(standard, name)), parameters_of(getattr(ours, name))
    names = [each[0] for each in own]
    assert [each[0] for each in theirs] == names[: len(theirs)]


def test_the_error_page_takes_the_same_values() -> None:
    values = {"code": 404, "message": "Not Found", "explain": "Nothing matches"}
    for module in (standard, ours):
        text = vars(module)["DEFAULT_ERROR_MESSAGE"] % values
        assert all(str(value) in text for value in values.values())


def test_a_server_has_the_attributes_of_a_standard_one() -> None:
    handler: Any = Handler
    with standard.HTTPServer(("127.0.0.1", 0), handler) as theirs, ours.HTTPServer(("127.0.0.1", 0), handler) as own:
        assert vars(theirs).keys() <= vars(own).keys()
        assert own.server_port == own.server_address[1]


def test_a_handler_has_the_attributes_of_a_standard_one(serve: Serve) -> None:
    found: dict[str, list[str]] = {}

    def looking(kind: Any) -> Any:
        class Looks(kind):  # type: ignore[misc]  # either of two
            def do_GET(self) -> None:
                found[kind.__module__] = [name for name in vars(self) if not name.startswith("_")]
                assert self.headers["X"] == "y"
                self.send_error(404)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Looks

    for kind in (standard.BaseHTTPRequestHandler, ours.BaseHTTPRequestHandler):
        serve(ours.ThreadingHTTPServer, looking(kind)).exchange(b"GET / HTTP/1.1\r\nX: y\r\n\r\n")
    theirs, own = found.values()
    # `headers` are there, and made when they are asked for.
    assert set(theirs) - set(own) == {"headers"}


class TestPatching:
    """What a program puts into the module is used by the code behind it."""

    def test_a_module(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Socket(ModuleType):
            def __getattr__(self, name: str) -> Any:
                return (lambda: "patched") if name == "gethostname" else getattr(sys.modules["socket"], name)

        monkeypatch.setattr(ours, "socket", Socket("socket"))
        with ours.HTTPServer(("", 0), Handler) as server:
            assert server.server_name == "patched"
        assert vars(servers)["socket"] is vars(ours)["socket"]

    def test_a_class_attribute(self, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
        monkeypatch.setattr(ours.BaseHTTPRequestHandler, "server_version", "Mine")
        monkeypatch.setattr(ours.BaseHTTPRequestHandler, "sys_version", "1.0")
        answer = serve(ours.ThreadingHTTPServer, Handler).exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert b"\r\nServer: Mine 1.0\r\n" in answer


def test_the_green_servers_are_here_for_whoever_asks() -> None:
    assert ours.GreenHTTPServer is doorkeep.GreenHTTPServer
    assert ours.GreenHTTPSServer is doorkeep.GreenHTTPSServer
    with pytest.raises(AttributeError, match=r"module 'doorkeep\.http\.server' has no attribute 'nothing'"):
        ours.nothing  # noqa: B018  # the look-up is the point


def test_it_is_a_command_too() -> None:
    assert "[-b ADDRESS]" in python("-m", "doorkeep.http.server", "--help").stdout


def test_the_best_family() -> None:
    family, address = ours._get_best_family("127.0.0.1", 80)
    assert (family.name, address) == ("AF_INET", ("127.0.0.1", 80))
