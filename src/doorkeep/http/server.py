"""The names of the standard library's `http.server`, with its meaning.

Beside those of `__all__` they are what programs reach into: the modules that it uses, and some functions. The servers
whose handlers are greenlets are here too, for whoever asks for them.
"""

from __future__ import annotations

import copy
import datetime
import email.utils
import html
import http.client
import io
import itertools
import mimetypes
import os
import posixpath
import select
import shutil
import socket
import sys
import time
import urllib.parse
from http import HTTPStatus
from typing import Any

from doorkeep import socketserver
from doorkeep.faces import write_through
from doorkeep.http import access_log, cgi, exchanges, handler, pace, responses, servers, static
from doorkeep.http.cgi import CGIHTTPRequestHandler, _url_collapse_path, executable, nobody_uid
from doorkeep.http.handler import BaseHTTPRequestHandler, __version__
from doorkeep.http.responses import DEFAULT_ERROR_CONTENT_TYPE, DEFAULT_ERROR_MESSAGE
from doorkeep.http.servers import HTTPServer, HTTPSServer, ThreadingHTTPServer, ThreadingHTTPSServer
from doorkeep.http.static import SimpleHTTPRequestHandler

__all__ = [
    "BaseHTTPRequestHandler",
    "CGIHTTPRequestHandler",
    "HTTPSServer",
    "HTTPServer",
    "SimpleHTTPRequestHandler",
    "ThreadingHTTPSServer",
    "ThreadingHTTPServer",
]

nobody = None


def test(
    HandlerClass: Any = BaseHTTPRequestHandler,
    ServerClass: Any = ThreadingHTTPServer,
    protocol: str = "HTTP/1.0",
    port: int = 8000,
    bind: str | None = None,
    tls_cert: Any = None,
    tls_key: Any = None,
    tls_password: Any = None,
) -> None:
    """Serve a handler class until Ctrl-C; see `doorkeep.operate.trial.serve_until_interrupted`."""
    from doorkeep.operate.trial import serve_until_interrupted

    serve_until_interrupted(HandlerClass, ServerClass, protocol, port, bind, tls_cert, tls_key, tls_password)


def _get_best_family(*address: Any) -> tuple[Any, Any]:
    options: Any = {"type": socket.SOCK_STREAM, "flags": socket.AI_PASSIVE}
    family, _, _, _, found = socket.getaddrinfo(*address, **options)[0]
    return family, found


def __getattr__(name: str) -> Any:
    if name in ("GreenHTTPServer", "GreenHTTPSServer"):
        import doorkeep

        return getattr(doorkeep, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    from doorkeep.operate.command import http_server

    sys.exit(http_server())

write_through(__name__, (access_log, cgi, exchanges, handler, pace, responses, servers, static))
