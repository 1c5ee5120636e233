"""Running programs that nobody will edit: the standard modules' names mean doorkeep's."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from doorkeep import socketserver
from doorkeep.concurrency.forks import ForkingMixIn
from doorkeep.concurrency.pools import ThreadPoolMixIn
from doorkeep.concurrency.threads import ThreadingMixIn
from doorkeep.errors import DoorkeepError, SettingError
from doorkeep.operate.models import Model

__all__ = ["REPLACED", "adopt_module", "adopt_script", "install"]

REPLACED = {"socketserver": "doorkeep.socketserver", "http.server": "doorkeep.http.server"}


class _Sequential(ThreadingMixIn):
    """What mixes in threads handles one request after another, in the accepting thread."""

    def process_request(self, request: Any, client_address: Any) -> None:
        self.process_request_thread(request, client_address)


class _Forking(ForkingMixIn, ThreadingMixIn):
    """What mixes in threads handles each request in a child process."""

    def collect_children(self, *, blocking: bool = False) -> None:
        super().collect_children(blocking=blocking and not self.daemon_threads)

    def _handle_in_child(self, request: Any, client_address: Any) -> None:
        self.process_request_thread(request, client_address)  # which programs override


def _green_mix_in() -> type:
    # Looked for only when it is wanted, as it needs a package that may not be there.
    from doorkeep.concurrency.greenlets import GreenMixIn

    class _Green(GreenMixIn, ThreadingMixIn):
        """What mixes in threads handles each request in a greenlet."""

        def process_request_greenlet(self, request: Any, client_address: Any) -> None:
            self.process_request_thread(request, client_address)  # which programs override

        def _lets_finish(self) -> bool:
            return super()._lets_finish() and not self.daemon_threads

    return _Green


def _no_async_mix_in() -> type:
    raise SettingError("async cannot stand for threads: it is for handlers with `async def handle`, and doorkeep serve")


_MIX_INS: dict[str, Callable[[], type]] = {
    "thread": lambda: ThreadingMixIn,
    "pool": lambda: ThreadPoolMixIn,
    "green": _green_mix_in,
    "async": _no_async_mix_in,
    "fork": lambda: _Forking,
    "sync": lambda: _Sequential,
}


def install(concurrency: str | None = None) -> None:
    """Let the standard library's `socketserver` and `http.server` mean doorkeep's, for what is imported from now on.

    Modules that have imported them before, and hold names of them, hold doorkeep's then. `concurrency`, such as
    "pool:64", "fork" or "sync", is the model for servers that mix in `ThreadingMixIn`, made of classes that are
    defined from now on. None leaves them their threads. Handlers of HTTP get chunked bodies as they came, unless their
    class sets `decodes_chunked`.

    Raises `DoorkeepError` and replaces nothing if modules have built classes on the standard ones before: call it
    first of all. Raises `SettingError` for a model that does not exist. Cannot be undone.
    """
    model = Model.parse(concurrency) if concurrency is not None else None
    replacements = {name: importlib.import_module(replacement) for name, replacement in REPLACED.items()}
    originals = {
        name: sys.modules[name]
        for name, replacement in replacements.items()
        if sys.modules.get(name, replacement) is not replacement
    }
    late = sorted({module for original in originals.values() for module in _built_on(original)})
    if late:
        raise DoorkeepError(
            f"too late to replace {' and '.join(originals)}: {', '.join(late)} {'use' if len(late) > 1 else 'uses'}"
            " it already; call doorkeep.install() before anything else is imported"
        )
    if model is not None:
        _run_threads_on(model)
    for name, original in originals.items():
        _rebind(original, replacements[name])
    for name, replacement in replacements.items():
        sys.modules[name] = replacement
        package, _, child = name.rpartition(".")
        if package:
            setattr(importlib.import_module(package), child, replacement)
    # Programs for the standard module that take chunked bodies at all decode them.
    replacements["http.server"].BaseHTTPRequestHandler.decodes_chunked = False


def adopt_module(name: str, arguments: Sequence[str], concurrency: str | None = None) -> Callable[[], object]:
    """Install, and return what runs a module as `python -m` does.

    Raises `DoorkeepError` with a sentence if there is no such module to run.
    """
    install(concurrency)
    if name == "http.server":
        from doorkeep.operate.command import http_server  # which this module is a part of

        return lambda: http_server([*arguments, *(() if concurrency is None else ("--concurrency", concurrency))])
    _stand_for(name, arguments, os.getcwd())
    if not _can_run(name):
        raise DoorkeepError(f"there is no module {name!r} that can be run")
    return lambda: runpy.run_module(name, run_name="__main__", alter_sys=True)


def adopt_script(path: str, arguments: Sequence[str], concurrency: str | None = None) -> Callable[[], object]:
    """Install, and return what runs a file as `python path` does, or a folder or archive with a `__main__.py`.

    Raises `DoorkeepError` with a sentence if there is no such file.
    """
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "__main__.py")):
            raise DoorkeepError(f"the folder {path} has no __main__.py to run")
    else:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise DoorkeepError(f"cannot run {path}: {error.strerror}") from None
    install(concurrency)
    place = os.path.realpath(path)
    if pkgutil.get_importer(path) is not None:
        _stand_for(place, arguments, place)
        return lambda: runpy.run_path(place, run_name="__main__")
    _stand_for(path, arguments, os.path.dirname(place))
    return lambda: _run_file(os.path.abspath(path))


def _built_on(original: ModuleType) -> Iterator[str]:
    """Yield the names of the modules, none of them replaced, with classes built on those of `original`."""
    bases = [value for value in vars(original).values() if _is_class_of(value, original)]
    while bases:
        found = bases.pop().__subclasses__()
        bases += found
        yield from (subclass.__module__ for subclass in found if subclass.__module__ not in REPLACED)


def _rebind(original: ModuleType, replacement: ModuleType) -> None:
    """Let every module that holds `original`, or a class of it, hold the replacement's."""
    # Asks types, as `isinstance` would wake the lazy objects that some modules are, and hold.
    for module in list(sys.modules.values()):
        if not issubclass(type(module), ModuleType) or module is original:
            continue
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, replacement)
            elif _is_class_of(value, original) and hasattr(replacement, value.__name__):
                setattr(module, name, getattr(replacement, value.__name__))


def _is_class_of(value: Any, module: ModuleType) -> bool:
    return issubclass(type(value), type) and value.__module__ == module.__name__


def _run_threads_on(model: Model) -> None:
    """Let `ThreadingMixIn`, and the ready-made classes with it, stand for a model."""
    model.check()
    mix_in = type("ThreadingMixIn", (_MIX_INS[model.name](),), model.settings)
    # Not by `setattr`, which would reach the rooms behind: the pool is made of threads.
    vars(socketserver)["ThreadingMixIn"] = mix_in
    for face in map(importlib.import_module, REPLACED.values()):
        names = vars(face)
        for name in [name for name in names if name.startswith("Threading") and name.endswith("Server")]:
            server_class = names[name.removeprefix("Threading")]
            attributes = {"__module__": face.__name__, "daemon_threads": names[name].daemon_threads}
            names[name] = type(name, (mix_in, server_class), attributes)


def _stand_for(program: str, arguments: Sequence[str], folder: str) -> None:
    """Let the program find its arguments, and its imports, where Python would put them."""
    sys.argv = [program, *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _run_file(path: str) -> None:
    # Not by `runpy`, which would make `sys.argv[0]` the full path, or `__file__` less than that.
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = path
    exec(code, vars(main))


def _can_run(name: str) -> bool:
    try:
        found = importlib.util.find_spec(name)
        if found is not None and found.submodule_search_locations is not None:
            found = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a failure of the program's own
        return False
    except (ImportError, ValueError):  # a relative name, or a module without a specification
        return False
    return found is not None and found.loader is not None
