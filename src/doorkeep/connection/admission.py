"""Who may come in, and how many."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Annotated, Any

from doorkeep.addresses import host_of, ip_of
from doorkeep.connection.peers import Credentials, credentials_of
from doorkeep.settings import (
    NETWORKS,
    POSITIVE_COUNT,
    RATE,
    TEXT,
    WAIT_OR_CLOSE,
    Setting,
    entries_of,
    parse_networks,
)

if TYPE_CHECKING:
    from doorkeep.acceptor import Acceptor

__all__ = ["AdmissionSettings", "admits_all", "refusal"]

IPAddress = IPv4Address | IPv6Address


def refusal(server: Acceptor, request: Any, client_address: Any) -> str | None:
    """Return why the server's settings keep a request out, or None if they let it in.

    Reads the settings anew each time. The reasons are those of `doorkeep.events.RequestRefused`. Whether the
    server is full counts only where `at_limit` is "close": otherwise it would not have accepted.
    """
    if (server.deny or server.allow is not None) and not _on_lists(server, request, client_address):
        return "denied"
    if (
        server.max_connections is not None
        and server.at_limit == "close"
        and server._count_active() >= server.max_connections
    ):
        return "limit"
    if server.max_connections_per_host is None and server.rate_limit is None:
        return None  # the usual case, with no host to find out
    host = host_of(client_address)
    if host is None:
        return None
    most = server.max_connections_per_host
    if most is not None and server._requests_in_progress.count_of(host) >= most:
        return "host limit"
    if server.rate_limit is not None and not server._rate_limiter.allows(server, host):
        return "rate"
    return None


def admits_all(server: Acceptor) -> bool:
    """Return whether no setting could keep a request out, or make it wait."""
    return (
        server.max_connections is None
        and server.max_connections_per_host is None
        and server.rate_limit is None
        and server.allow is None
        and not server.deny
    )


def _on_lists(server: Acceptor, request: Any, client_address: Any) -> bool:
    client = ip_of(client_address) or credentials_of(request)
    if server.deny and _names(server.deny, client, if_unknown=True):
        return False
    return server.allow is None or _names(server.allow, client, if_unknown=False)


def _names(entries: Any, client: IPAddress | Credentials | None, if_unknown: bool) -> bool:
    """Return whether entries name a client; of a list of owners, `if_unknown` where nobody knows the client's."""
    if callable(entries):  # a method of the program's own that happens to have the name
        return not if_unknown
    access = parse_networks(entries_of(entries))
    if isinstance(client, Credentials):
        return client.uid in access.uids or client.gid in access.gids
    if client is None:
        return if_unknown and bool(access.uids or access.gids)
    return any(client in network for network in access.networks)


class AdmissionSettings:
    """The settings of admission; each is read anew for each request."""

    max_connections: Annotated[
        int | None,
        Setting(
            POSITIVE_COUNT,
            "how many requests are handled at once",
            at_limit="what at_limit says",
            takes_effect="with the next client; for those that wait, within two poll intervals",
        ),
    ] = None
    at_limit: Annotated[
        str,
        Setting(WAIT_OR_CLOSE, "what becomes of a client at max_connections: it waits in the backlog, or is closed"),
    ] = "wait"
    max_connections_per_host: Annotated[
        int | None,
        Setting(POSITIVE_COUNT, "how many requests of one host are handled at once", at_limit="the client is closed"),
    ] = None
    allow: Annotated[
        Iterable[Any] | None,
        Setting(
            NETWORKS,
            "the only networks that may come in; for Unix sockets the only owners, as uid:N or gid:N",
            at_limit="the client is closed",
        ),
    ] = None
    deny: Annotated[
        Iterable[Any] | None,
        Setting(
            NETWORKS,
            "networks, or owners, that may not come in, even if they are allowed",
            at_limit="the client is closed",
        ),
    ] = None
    rate_limit: Annotated[
        str | None,
        Setting(RATE, 'how many requests a host may begin, such as "100/minute"', at_limit="the client is closed"),
    ] = None
    rate_limit_storage: Annotated[
        str | None,
        Setting(
            TEXT,
            "where many machines count their rates together, such as redis://127.0.0.1:6379/0; None: in memory",
        ),
    ] = None
