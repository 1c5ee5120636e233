"""The concurrency models that people choose by name, and the server class of each for each kind of address."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from doorkeep.addresses import AF_UNIX
from doorkeep.errors import DoorkeepError, SettingError
from doorkeep.server import BaseServer

__all__ = ["MODELS", "SCHEMES", "Model"]


@dataclass(frozen=True)
class _Way:
    """Where the classes of a model live, how their names begin, and which setting limits them.

    `package` is what it needs beyond the standard library, which the extra of the model's name brings.
    """

    home: str
    prefix: str
    size_setting: str
    summary: str
    package: str = ""


_WAYS = {
    "thread": _Way("concurrency.threads", "Threading", "max_connections", "each request in a thread"),
    "pool": _Way("concurrency.pools", "ThreadPool", "pool_size", "requests in a pool of threads"),
    "green": _Way("concurrency.greenlets", "Green", "max_connections", "each request in a greenlet", "greenlet"),
    "async": _Way("concurrency.tasks", "Async", "max_connections", "each request in a task of asyncio"),
    "fork": _Way("concurrency.forks", "Forking", "max_children", "each request in a child process"),
    "sync": _Way("socketserver", "", "", "one request after another"),
}
_SERVERS = {
    "tcp": "TCPServer",
    "udp": "UDPServer",
    "unix": "UnixStreamServer",
    "unixgram": "UnixDatagramServer",
}

MODELS = tuple(_WAYS)
SCHEMES = tuple(_SERVERS)


@dataclass(frozen=True)
class Model:
    """How requests run side by side: `name` is one of MODELS, `size` how many at the most.

    A `size` of None leaves it to the server's settings.
    """

    name: str
    size: int | None = None

    @classmethod
    def parse(cls, text: str) -> Model:
        """Return the model that a text such as "thread" or "pool:64" names.

        Raises `SettingError` with a sentence.
        """
        name, colon, size = text.partition(":")
        if name not in _WAYS:
            raise SettingError(f"{text!r} is no concurrency model: choose {', '.join(MODELS[:-1])} or {MODELS[-1]}")
        if not colon:
            return cls(name)
        if not _WAYS[name].size_setting:
            raise SettingError(f"{name} takes no number: it handles one request after another")
        if not (size.isascii() and size.isdigit() and int(size) > 0):
            raise SettingError(f"the number after {name}: must be a whole number from 1 upwards, not {size!r}")
        return cls(name, int(size))

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}:{self.size}"

    @property
    def summary(self) -> str:
        """What the model does, in a few words."""
        return _WAYS[self.name].summary

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that `size` stands for, by name."""
        return {} if self.size is None else {_WAYS[self.name].size_setting: self.size}

    def check(self) -> ModuleType:
        """Return the module of the model's classes.

        Raises `DoorkeepError` if a package that it needs is not installed.
        """
        way = _WAYS[self.name]
        try:
            return importlib.import_module(f"doorkeep.{way.home}")
        except ModuleNotFoundError as error:
            if error.name != way.package:
                raise
            raise DoorkeepError(f"{self.name} needs {way.package}: pip install 'doorkeep[{self.name}]'") from None

    def server_class(self, scheme: str) -> type[BaseServer]:
        """Return the class that serves addresses of a scheme on this model.

        Raises `DoorkeepError` where the system has no such thing, or the model's package is not installed.
        """
        way = _WAYS[self.name]
        home = self.check()
        found = getattr(home, way.prefix + _SERVERS[scheme], None)
        if found is None or (scheme.startswith("unix") and AF_UNIX is None):
            raise DoorkeepError(f"this system cannot serve {scheme}: with {self.name}")
        server_class: type[BaseServer] = found
        return server_class
