"""The environ of a WSGI application (PEP 3333): what is known of the connection, and of one request on it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from doorkeep.addresses import host_of
from doorkeep.concurrency.forks import ForkingMixIn
from doorkeep.http.bodies import Body
from doorkeep.http.file_wrapper import FileWrapper
from doorkeep.http.targets import split_absolute_form
from doorkeep.server import BaseServer

if TYPE_CHECKING:
    from doorkeep.http.handler import BaseHTTPRequestHandler

__all__ = ["environ_of_connection", "environ_of_request"]


def environ_of_connection(handler: BaseHTTPRequestHandler) -> dict[str, Any]:
    """Return what all requests of a connection have in common."""
    server, client = handler.server, handler.client_address
    is_encrypted = handler.tls is not None
    forks = isinstance(server, ForkingMixIn)
    environ = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": handler.version_string(),
        "SERVER_NAME": getattr(server, "server_name", "") or _server_name(server),
        "SERVER_PORT": str(getattr(server, "server_port", 0) or _server_port(server, is_encrypted)),
        "REMOTE_ADDR": host_of(client) or "",
        "REMOTE_PORT": str(client[1]) if host_of(client) is not None else "",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if is_encrypted else "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": not forks and _runs_side_by_side(server),
        "wsgi.multiprocess": forks,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    if is_encrypted:
        environ["HTTPS"] = "on"
    return environ


def _server_name(server: Any) -> str:
    return host_of(getattr(server, "server_address", None)) or "localhost"


def _server_port(server: Any, is_encrypted: bool) -> int:
    address: Any = getattr(server, "server_address", None)
    if host_of(address) is None:  # a Unix socket has none, and the application must
        return 443 if is_encrypted else 80
    port: int = address[1]
    return port


def _runs_side_by_side(server: Any) -> bool:
    """Return whether a server calls its handlers from several threads or greenlets."""
    return getattr(type(server), "process_request", None) is not BaseServer.process_request


def environ_of_request(common: dict[str, Any], handler: BaseHTTPRequestHandler) -> dict[str, Any]:
    """Return the environ of the request that the handler has parsed."""
    environ = common.copy()
    target = handler.path
    host = None
    if target[:1] != "/":
        host, target = split_absolute_form(target) or (None, "")
    path, _, query = target.partition("?")
    environ["REQUEST_METHOD"] = handler.command
    environ["REQUEST_URI"] = handler.path
    environ["PATH_INFO"] = unquote(path, "latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = handler.request_version
    body = handler.rfile
    # A client that may change the protocol is not read by applications, which cannot, beyond its request.
    environ["wsgi.input"] = body if isinstance(body, Body) else Body(body, 0)
    environ["wsgi.errors"] = sys.stderr
    # Without having a message made of the fields, if nobody has asked for one.
    message = handler._header_message
    for name, value in handler._header_fields or () if message is None else message.raw_items():
        key = _keys[name]
        if key in environ and key:
            value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        environ[key] = value
    environ.pop("", None)
    if host is not None:
        environ["HTTP_HOST"] = host  # RFC 9112 section 3.2.2: the target says it, whatever Host says
    return environ


class _Keys(dict[str, str]):
    """The key of each header; "" for one that is left out. Names are the client's choice: few are remembered."""

    def __missing__(self, name: str) -> str:
        key = self._key_of(name)
        if len(self) < 500 and len(name) < 50:
            self[name] = key
        return key

    @staticmethod
    def _key_of(name: str) -> str:
        # With an underscore it would be taken for the header that has a dash there, which a proxy may have checked.
        # Programs take HTTP_PROXY for their own setting (CVE-2016-5385).
        key = name.upper().replace("-", "_")
        if "_" in name or key == "PROXY":
            return ""
        return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


_keys = _Keys()
