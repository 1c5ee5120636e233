"""doorkeep: the `socketserver` that people wish the standard library had.

`doorkeep.socketserver` has the standard module's names alone. Here are those, and what doorkeep adds.
"""

from __future__ import annotations

import importlib.util
import os
import socket
from typing import TYPE_CHECKING

from doorkeep.addresses import Address, parse_address
from doorkeep.concurrency.forks import ForkingMixIn
from doorkeep.concurrency.pools import ThreadPoolMixIn, ThreadPoolTCPServer, ThreadPoolUDPServer
from doorkeep.concurrency.threads import ThreadingMixIn, ThreadingTCPServer, ThreadingUDPServer
from doorkeep.datagram_listeners import UDPServer
from doorkeep.errors import AddressError, DoorkeepError, SettingError
from doorkeep.handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler
from doorkeep.listeners import TCPServer
from doorkeep.server import BaseServer
from doorkeep.statistics import Statistics

__all__ = [
    "Address",
    "AddressError",
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "DoorkeepError",
    "SettingError",
    "Statistics",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadPoolMixIn",
    "ThreadPoolTCPServer",
    "ThreadPoolUDPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "UDPServer",
    "install",
    "parse_address",
]
if hasattr(os, "fork"):
    from doorkeep.concurrency.forks import ForkingTCPServer, ForkingUDPServer

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]
if hasattr(socket, "AF_UNIX"):
    from doorkeep.concurrency.pools import ThreadPoolUnixDatagramServer, ThreadPoolUnixStreamServer
    from doorkeep.concurrency.threads import ThreadingUnixDatagramServer, ThreadingUnixStreamServer
    from doorkeep.datagram_listeners import UnixDatagramServer
    from doorkeep.listeners import UnixStreamServer

    __all__ += [
        "ThreadPoolUnixDatagramServer",
        "ThreadPoolUnixStreamServer",
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
        "UnixDatagramServer",
        "UnixStreamServer",
    ]
    if hasattr(os, "fork"):
        from doorkeep.concurrency.forks import ForkingUnixDatagramServer, ForkingUnixStreamServer

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]

__version__ = "0.1.0"

# What few programs need, or needs a package that may not be there, is imported when it is asked for.
_GREEN = ["GreenMixIn", "GreenTCPServer", "GreenUDPServer"]
_HTTP = [
    *("BaseHTTPRequestHandler", "HTTPServer", "HTTPSServer", "SimpleHTTPRequestHandler"),
    *("ThreadPoolHTTPServer", "ThreadingHTTPSServer", "ThreadingHTTPServer"),
]
_GREEN_HTTP = ["GreenHTTPSServer", "GreenHTTPServer"]
_ASYNC = ["AsyncMixIn", "AsyncTCPServer", "AsyncUDPServer"]
if hasattr(socket, "AF_UNIX"):
    _GREEN += ["GreenUnixDatagramServer", "GreenUnixStreamServer"]
    _ASYNC += ["AsyncUnixDatagramServer", "AsyncUnixStreamServer"]
_ROOMS = {
    "install": "doorkeep.operate.adopt",
    **dict.fromkeys(_GREEN, "doorkeep.concurrency.greenlets"),
    **dict.fromkeys(_ASYNC, "doorkeep.concurrency.tasks"),
    **dict.fromkeys(_HTTP, "doorkeep.http.servers"),
    "BaseHTTPRequestHandler": "doorkeep.http.handler",
    "SimpleHTTPRequestHandler": "doorkeep.http.static",
    **dict.fromkeys(_GREEN_HTTP, "doorkeep.http.green"),
}
__all__ += _ASYNC + _HTTP
if importlib.util.find_spec("greenlet") is not None:
    __all__ += _GREEN + _GREEN_HTTP

if TYPE_CHECKING:
    from doorkeep.concurrency.greenlets import GreenMixIn as GreenMixIn
    from doorkeep.concurrency.greenlets import GreenTCPServer as GreenTCPServer
    from doorkeep.concurrency.greenlets import GreenUDPServer as GreenUDPServer
    from doorkeep.concurrency.greenlets import GreenUnixDatagramServer as GreenUnixDatagramServer
    from doorkeep.concurrency.greenlets import GreenUnixStreamServer as GreenUnixStreamServer
    from doorkeep.concurrency.tasks import AsyncMixIn as AsyncMixIn
    from doorkeep.concurrency.tasks import AsyncTCPServer as AsyncTCPServer
    from doorkeep.concurrency.tasks import AsyncUDPServer as AsyncUDPServer
    from doorkeep.concurrency.tasks import AsyncUnixDatagramServer as AsyncUnixDatagramServer
    from doorkeep.concurrency.tasks import AsyncUnixStreamServer as AsyncUnixStreamServer
    from doorkeep.http.green import GreenHTTPServer as GreenHTTPServer
    from doorkeep.http.green import GreenHTTPSServer as GreenHTTPSServer
    from doorkeep.http.handler import BaseHTTPRequestHandler as BaseHTTPRequestHandler
    from doorkeep.http.servers import HTTPServer as HTTPServer
    from doorkeep.http.servers import HTTPSServer as HTTPSServer
    from doorkeep.http.servers import ThreadingHTTPServer as ThreadingHTTPServer
    from doorkeep.http.servers import ThreadingHTTPSServer as ThreadingHTTPSServer
    from doorkeep.http.servers import ThreadPoolHTTPServer as ThreadPoolHTTPServer
    from doorkeep.http.static import SimpleHTTPRequestHandler as SimpleHTTPRequestHandler
    from doorkeep.operate.adopt import install


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_ROOMS[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "greenlet":
            raise
        raise ImportError(f"{name} needs greenlet: pip install 'doorkeep[green]'") from None
