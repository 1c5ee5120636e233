"""`doorkeep wsgi`: a WSGI application by HTTP."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from doorkeep.addresses import Address
from doorkeep.errors import DoorkeepError, SettingError
from doorkeep.http.settings import NETWORK_DEFAULTS
from doorkeep.http.wsgi import WSGIHandler
from doorkeep.operate import serve
from doorkeep.operate.references import load, reason_of, takes
from doorkeep.operate.web import http_server_class
from doorkeep.server import BaseServer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = ["ADDRESS", "DEFAULTS", "WSGIPlan", "load_application"]

ADDRESS = "tcp://127.0.0.1:8000"
DEFAULTS: Mapping[str, Any] = {**serve.DEFAULTS, **NETWORK_DEFAULTS}


@dataclass(frozen=True)
class WSGIPlan(serve.ServePlan):
    """What to serve: `handler` is "module:application", or "module:factory()"."""

    defaults: ClassVar[Mapping[str, Any]] = DEFAULTS

    def load_handler(self) -> Callable[..., Any]:
        return WSGIHandler.serving(load_application(self.handler or ""))

    def server_class(self, address: Address) -> type[BaseServer]:
        if address.datagrams:
            raise SettingError(f"HTTP needs connections, and datagrams arrive at {address}")
        return http_server_class(self.model)

    def url_of(self, address: Address) -> str:
        scheme = "https" if "tls_certificate" in self.settings else "http"
        return str(address).replace("tcp", scheme, 1) if address.scheme == "tcp" else str(address)


def load_application(reference: str) -> WSGIApplication:
    """Return the WSGI application that `reference` names, "module:application", or that "module:factory()" returns.

    Raises `DoorkeepError` with a sentence if there is none.
    """
    name = reference.removesuffix("()")
    found = load(name, "application", "package.module:application, or package.module:factory()")
    if name != reference:
        found = _call_factory(reference, found)
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(vars(type(found)).get("__call__")):
        raise DoorkeepError(f"{reference} is an ASGI application; this serves WSGI ones")
    if not takes(found, 2):
        hint = f"; did you mean {reference}()?" if name == reference and takes(found, 0) else ""
        raise DoorkeepError(
            f"{reference} is no WSGI application: it cannot be called with (environ, start_response){hint}"
        )
    application: WSGIApplication = found
    return application


def _call_factory(reference: str, factory: Any) -> Any:
    if not takes(factory, 0):
        raise DoorkeepError(f"{reference.removesuffix('()')} cannot be called without arguments")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise DoorkeepError(f"{reference} fails: {reason_of(error)}") from error
