"""Finding what a text such as `package.module:Handler` names."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from doorkeep import handlers, server
from doorkeep.addresses import Address
from doorkeep.errors import DoorkeepError

__all__ = ["check_handler_suits", "load", "load_handler", "reason_of", "takes"]


def load_handler(reference: str) -> Callable[..., Any]:
    """Return what `reference`, "package.module:Handler", names, to be called as a handler class.

    Raises `DoorkeepError` with a sentence if it cannot be loaded, or not be called with `(request, client_address,
    server)`.
    """
    found = load(reference, "handler", "package.module:Handler")
    if _is_subclass(found, "BaseServer"):
        raise DoorkeepError(f"{reference} is a server class: name its handler class")
    if not takes(found, 3):
        raise DoorkeepError(f"{reference} is no handler: it cannot be called with (request, client_address, server)")
    handler: Callable[..., Any] = found
    return handler


def load(reference: str, what: str, example: str) -> Any:
    """Return what `reference`, "package.module:name", names; the module may also be in the current folder.

    Raises `DoorkeepError` with a sentence if it cannot be; `what` is asked for, for instance by `example`.
    """
    module_name, colon, path = reference.partition(":")
    if not (module_name and colon and path):
        raise DoorkeepError(f"{reference!r} names no {what}: write {example}")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise DoorkeepError(f"{module_name!r} is no name of a module: write {example}")
    found: Any = _import(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DoorkeepError(f"module {module_name!r} has no {path!r}{hint}")
        found = getattr(found, name)
    return found


def check_handler_suits(reference: str, handler: Callable[..., Any], address: Address) -> None:
    """Raise `DoorkeepError` if a handler for connections would get datagrams, or the reverse."""
    wrong, arriving = (
        ("StreamRequestHandler", "datagrams") if address.datagrams else ("DatagramRequestHandler", "connections")
    )
    if _is_subclass(handler, wrong):
        raise DoorkeepError(f"{reference} is a {wrong}, but {arriving} arrive at {address}")


def _import(name: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module itself, or a package around it; any other is one that the module wants to import.
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise DoorkeepError(f"there is no module {name!r}{_hint_at_file(name)}") from None
        raise DoorkeepError(f"module {name!r} cannot be imported: {reason_of(error)}") from error
    except (Exception, SystemExit) as error:
        raise DoorkeepError(f"module {name!r} cannot be imported: {reason_of(error)}") from error


def _hint_at_file(name: str) -> str:
    """Return what to say to somebody who named a file."""
    stem, extension = os.path.splitext(name)
    return f"; for the file {name} write {stem.replace('/', '.')}" if extension == ".py" else ""


def reason_of(error: BaseException) -> str:
    """Return what an exception says and where it was raised, in one line."""
    reason = traceback.format_exception_only(error)[-1].strip()
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        # An import that failed in the import system itself has no line of the program's.
        where = "" if frame.filename.startswith("<frozen ") else f" ({frame.filename}, line {frame.lineno})"
    return f"{reason}{where}"


def takes(found: Any, count: int) -> bool:
    """Return whether something can be called with so many arguments, as far as it tells."""
    if not callable(found):
        return False
    try:
        inspect.signature(found).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # it does not tell what it takes
        return True
    return True


def _is_subclass(found: Any, name: str) -> bool:
    """Return whether something is one of the classes called `name`: doorkeep's or the standard library's."""
    return isinstance(found, type) and any(issubclass(found, base) for base in _classes_called(name))


def _classes_called(name: str) -> Iterator[type]:
    for module in (handlers, server, sys.modules.get("socketserver")):
        if hasattr(module, name):
            yield getattr(module, name)
