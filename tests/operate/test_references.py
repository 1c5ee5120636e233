"""Handlers by name."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest

from doorkeep import DatagramRequestHandler, DoorkeepError, StreamRequestHandler, parse_address
from doorkeep.operate.references import check_handler_suits, load_handler


class Holder:
    class Inner(StreamRequestHandler):
        pass


class Builtin(type):
    """Makes classes that do not tell what they take, as those written in C may not."""

    @property
    def __signature__(cls) -> Any:
        raise ValueError


class Untold(metaclass=Builtin):
    pass


def handle(answer: bytes, request: Any, client_address: Any, server: Any) -> None:
    pass


partial = functools.partial(handle, b"")


@pytest.mark.parametrize("name", ["Holder.Inner", "partial", "Untold"])
def test_what_can_be_called(name: str) -> None:
    found: Any = sys.modules[__name__]
    for part in name.split("."):
        found = getattr(found, part)
    assert load_handler(f"{__name__}:{name}") is found


@pytest.mark.parametrize("name", ["handle", "Holder", "Holder.Outer", "__doc__"])
def test_what_cannot(name: str) -> None:
    with pytest.raises(DoorkeepError, match=rf"{__name__}:?.* (no|is no) "):
        load_handler(f"{__name__}:{name}")


@pytest.mark.parametrize("reference", ["", ":", "module", "module:", ":Handler"])
def test_no_reference(reference: str) -> None:
    with pytest.raises(DoorkeepError, match=r"names no handler: write package\.module:Handler"):
        load_handler(reference)


@pytest.mark.parametrize("reference", ["./app:Handler", "app.py/x:Handler", ".app:Handler", "my-app:Handler"])
def test_no_module(reference: str) -> None:
    with pytest.raises(DoorkeepError, match=r"is no name of a module: write package\.module:Handler"):
        load_handler(reference)


def test_the_current_folder_is_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_in_this_folder.py").write_text("def handler(request, client_address, server): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    load_handler("only_in_this_folder:handler")
    assert sys.path[0] == str(tmp_path)
    load_handler("only_in_this_folder:handler")
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("handler", "right", "wrong"),
    [
        (StreamRequestHandler, "tcp://127.0.0.1:0", "udp://127.0.0.1:0"),
        (DatagramRequestHandler, "unixgram:sock", "unix:sock"),
    ],
)
def test_streams_and_datagrams(handler: type, right: str, wrong: str) -> None:
    check_handler_suits("m:H", handler, parse_address(right))
    with pytest.raises(DoorkeepError, match=f"m:H is a {handler.__name__}, but .* arrive at {wrong}"):
        check_handler_suits("m:H", handler, parse_address(wrong))


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "udp://127.0.0.1:0"])
def test_other_handlers_suit_everywhere(url: str) -> None:
    """Nothing is raised."""
    check_handler_suits("m:partial", partial, parse_address(url))
