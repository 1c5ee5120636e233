"""The servers of HTTP, one for each concurrency model, for tests that hold on all of them."""

from __future__ import annotations

from typing import Any

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import ForkingHTTPServer, HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer

__all__ = ["in_one_process", "on_every_model", "on_every_server"]

_IN_ONE_PROCESS: list[Any] = [ThreadingHTTPServer, GreenHTTPServer, ThreadPoolHTTPServer]

in_one_process = pytest.mark.parametrize("server_class", _IN_ONE_PROCESS)
on_every_model = pytest.mark.parametrize("server_class", [*_IN_ONE_PROCESS, ForkingHTTPServer])
# Also on the one that handles a request at a time, in the thread of its loop.
on_every_server = pytest.mark.parametrize("server_class", [*_IN_ONE_PROCESS, ForkingHTTPServer, HTTPServer])
