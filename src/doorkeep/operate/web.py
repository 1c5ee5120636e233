"""What the commands that serve HTTP share: the server classes, their settings, and how they run."""

from __future__ import annotations

from doorkeep.errors import DoorkeepError, SettingError
from doorkeep.http import servers
from doorkeep.http.servers import HTTPServer
from doorkeep.operate.models import MODELS, Model
from doorkeep.operate.options import Entry, settings_of_classes

__all__ = ["best_model", "http_server_class", "http_settings"]

_CLASSES = {
    "thread": "ThreadingHTTPServer",
    "pool": "ThreadPoolHTTPServer",
    "fork": "ForkingHTTPServer",
    "sync": "HTTPServer",
}


def http_server_class(model: Model) -> type[HTTPServer]:
    """Return the class that serves HTTP on a concurrency model.

    Raises `DoorkeepError` with a sentence where there is none, or what it needs is not installed.
    """
    model.check()
    if model.name == "async":
        raise SettingError(
            "async runs coroutines, and HTTP is handled by plain functions: choose green for many clients"
        )
    if model.name == "green":
        from doorkeep.http.green import GreenHTTPServer

        return GreenHTTPServer
    found: type[HTTPServer] = getattr(servers, _CLASSES[model.name])
    return found


def best_model() -> Model:
    """Return the model that serves most clients at once, of those that are installed here: green, or else threads."""
    green = Model("green")
    try:
        green.check()
    except DoorkeepError:
        return Model("thread")
    return green


def http_settings() -> list[Entry]:
    """Return the settings of the servers of HTTP, those of all servers first."""
    classes: dict[tuple[str, str], type] = {}
    for name in MODELS:
        try:
            classes[name, "tcp"] = http_server_class(Model(name))
        except DoorkeepError:
            continue
    return settings_of_classes(classes)
