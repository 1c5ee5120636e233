"""The names of the standard library's `socketserver`, with its meaning.

Beside those of `__all__` they are what programs reach into: the modules that it uses, and some private names.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading

from doorkeep import acceptor, handlers, listeners, server
from doorkeep.concurrency import forks, threads
from doorkeep.concurrency.forks import ForkingMixIn
from doorkeep.concurrency.threads import (
    ThreadingMixIn,
    ThreadingTCPServer,
    ThreadingUDPServer,
    _NoThreads,
    _Threads,
)
from doorkeep.datagram_listeners import UDPServer
from doorkeep.faces import write_through
from doorkeep.handlers import BaseRequestHandler, DatagramRequestHandler, StreamRequestHandler, _SocketWriter
from doorkeep.listeners import TCPServer
from doorkeep.server import BaseServer, _ServerSelector

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "UDPServer",
]
if hasattr(os, "fork"):
    from doorkeep.concurrency.forks import ForkingTCPServer, ForkingUDPServer

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]
if hasattr(socket, "AF_UNIX"):
    from doorkeep.concurrency.threads import ThreadingUnixDatagramServer, ThreadingUnixStreamServer
    from doorkeep.datagram_listeners import UnixDatagramServer
    from doorkeep.listeners import UnixStreamServer

    __all__ += ["ThreadingUnixDatagramServer", "ThreadingUnixStreamServer", "UnixDatagramServer", "UnixStreamServer"]
    if hasattr(os, "fork"):
        from doorkeep.concurrency.forks import ForkingUnixDatagramServer, ForkingUnixStreamServer

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]

write_through(__name__, (acceptor, server, listeners, handlers, threads, forks))
