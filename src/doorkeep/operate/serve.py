"""`doorkeep serve`: servers for a handler, as the command line describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar

from doorkeep.addresses import Address
from doorkeep.errors import AddressError, DoorkeepError, SettingError
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.settings import NETWORK_DEFAULTS
from doorkeep.operate import upper
from doorkeep.operate.group import ServerGroup
from doorkeep.operate.models import Model
from doorkeep.operate.options import option_of
from doorkeep.operate.references import check_handler_suits, load_handler
from doorkeep.operate.web import http_server_class
from doorkeep.server import BaseServer
from doorkeep.settings import Setting, settings_of

__all__ = ["DEFAULTS", "HTTPPlan", "ServePlan", "check_companions", "serve", "why_not_bound"]

# What a server that faces a network should have and no handler can notice. A server that is started again finds its
# port although old connections linger.
DEFAULTS: Mapping[str, Any] = {"handshake_timeout": 10.0, "drain_timeout": 5.0, "allow_reuse_address": True}

# Settings that say nothing without another.
_COMPANIONS = {"at_limit": "max_connections", "rate_limit_storage": "rate_limit"}


@dataclass(frozen=True)
class ServePlan:
    """What to serve: `handler` is "module:Handler", or None for the one that answers in upper case.

    `settings` are those that were given; the `defaults`, and what the model's size stands for, are added to them.
    """

    addresses: Sequence[Address]
    model: Model
    handler: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    defaults: ClassVar[Mapping[str, Any]] = DEFAULTS

    def load_handler(self) -> Callable[..., Any] | None:
        """Return the handler class, None for the one that answers in upper case."""
        return load_handler(self.handler) if self.handler is not None else None

    def server_class(self, address: Address) -> type[BaseServer]:
        """Return the class of the server for an address."""
        return self.model.server_class(address.scheme)

    def url_of(self, address: Address) -> str:
        """Return how to tell people of an address."""
        return str(address)


class HTTPPlan(ServePlan):
    """What to serve by HTTP: the handler is a `BaseHTTPRequestHandler`."""

    defaults: ClassVar[Mapping[str, Any]] = {**DEFAULTS, **NETWORK_DEFAULTS}

    def server_class(self, address: Address) -> type[BaseServer]:
        return http_server_class(self.model)

    def url_of(self, address: Address) -> str:
        scheme = "https" if "tls_certificate" in self.settings else "http"
        return str(address).replace("tcp", scheme, 1) if address.scheme == "tcp" else str(address)


def serve(plan: ServePlan) -> Callable[[], int]:
    """Make the servers of a plan and bind them; return what runs them and returns the exit status.

    Raises `DoorkeepError` with a sentence if the plan cannot be; nothing stays open then.
    """
    settings = _settings_of_plan(plan)
    handler = plan.load_handler()
    if type(plan) is ServePlan and isinstance(handler, type) and issubclass(handler, BaseHTTPRequestHandler):
        plan = HTTPPlan(plan.addresses, plan.model, plan.handler, plan.settings)
    with ExitStack() as opened:
        servers = []
        for address in plan.addresses:
            server = _server_for(plan, handler, settings, address)
            opened.callback(server.server_close)
            servers.append(server)
        opened.pop_all()
    return lambda: _run(plan, servers)


def _run(plan: ServePlan, servers: Sequence[BaseServer]) -> int:
    with ServerGroup(servers) as group:
        _announce(plan, servers)
        return group.run()


def _settings_of_plan(plan: ServePlan) -> dict[str, Any]:
    for name in plan.model.settings:
        if name in plan.settings:
            raise SettingError(f"--concurrency {plan.model} and {option_of(name)} both say how many: give one")
    settings = {**plan.settings, **plan.model.settings}
    check_companions(settings)
    return settings


def check_companions(settings: Mapping[str, Any]) -> None:
    """Raise `SettingError` for a setting that says nothing without another, which is not there."""
    for name, companion in _COMPANIONS.items():
        if name in settings and settings.get(companion) is None:
            raise SettingError(f"{option_of(name)} says nothing without {option_of(companion)}")


def _server_for(
    plan: ServePlan, handler: Callable[..., Any] | None, given: dict[str, Any], address: Address
) -> BaseServer:
    server_class = plan.server_class(address)
    declared = settings_of(server_class)
    for name in given:
        if not _means_something(name, declared.get(name), address):
            raise SettingError(f"{option_of(name)} means nothing at {address} with {plan.model.name}")
    defaults = {name: value for name, value in plan.defaults.items() if _means_something(name, declared[name], address)}
    if address.datagrams:
        del defaults["allow_reuse_address"]  # it would mean to share the port with whoever has it
    if handler is None:
        handler = upper.handler_for(address, coroutine=plan.model.name == "async")
    else:
        check_handler_suits(plan.handler or "", handler, address)
        if getattr(handler, "_is_async", False) and plan.model.name != "async":
            raise DoorkeepError(f"{plan.handler} handles requests in coroutines: it needs --concurrency async")
    try:
        return server_class(address.server_address, handler, **defaults | given)
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
        raise AddressError(f"cannot listen at {address}: {why_not_bound(error, address.server_address)}") from None


def _means_something(name: str, setting: Setting | None, address: Address) -> bool:
    if setting is None or (setting.streams_only and address.datagrams):
        return False
    return name != "socket_mode" or address.scheme.startswith("unix")  # other sockets have no file


def why_not_bound(error: Exception, server_address: Any) -> str:
    """Return for what reason a server could not be bound to its address."""
    reason: str = getattr(error, "strerror", None) or str(error)
    if isinstance(error, PermissionError) and isinstance(server_address, tuple) and server_address[1] < 1024:
        return f"{reason}; ports below 1024 are for privileged users"
    return reason


def _announce(plan: ServePlan, servers: Sequence[BaseServer]) -> None:
    name = plan.handler or "the upper-casing handler"
    bound = [
        Address(asked.scheme, server.server_address) for asked, server in zip(plan.addresses, servers, strict=True)
    ]
    for address in bound:
        print(f"Serving {name} at {plan.url_of(address)}, {plan.model.summary}. Ctrl-C ends it.", flush=True)
    if plan.handler is None and "tls_certificate" not in plan.settings:
        print("Talk to it from another terminal:", *map(upper.client_line, bound), sep="\n    ", flush=True)
