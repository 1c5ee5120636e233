"""The servers of HTTP whose handlers are greenlets."""

from __future__ import annotations

from doorkeep.concurrency.greenlets import GreenMixIn
from doorkeep.http.servers import HTTPServer, HTTPSServer

__all__ = ["GreenHTTPSServer", "GreenHTTPServer"]


class GreenHTTPServer(GreenMixIn, HTTPServer):
    """Serves HTTP, each connection in a greenlet. The head of a response and its body leave together."""

    coalesce_writes = True


class GreenHTTPSServer(GreenMixIn, HTTPSServer):
    """Serves HTTP over TLS, each connection in a greenlet."""

    coalesce_writes = True
