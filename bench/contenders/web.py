"""A contender with the interface of `http.server`: a class of the standard library, or one of doorkeep.

python -m bench.contenders.web reply --server=doorkeep.http.green:GreenHTTPServer --set=head_timeout=20
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from bench.contenders import BACKLOG, announce
from bench.contenders.classes import setting
from doorkeep.http.conditions import SETTLED_AFTER
from doorkeep.http.memory import FileMemory

REPLY = b"Hello, world!"
#: Bytes of the files, which are their names too.
SIZES = (4096, 1 << 20)


class Quiet:
    """Keeps connections, as HTTP/1.1 does, sends at once, and logs nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments: object) -> None:
        pass


class Reply(Quiet):
    """The same few bytes for every request, once it has come whole."""

    headers: Any
    rfile: Any
    send_response: Callable[[int], None]
    send_header: Callable[[str, str], None]
    end_headers: Callable[[], None]
    wfile: Any

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(REPLY)))
        self.end_headers()
        self.wfile.write(REPLY)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


def make_files(folder: str) -> None:
    """Fill a folder with the files that are asked for."""
    for size in SIZES:
        Path(folder, str(size)).write_bytes(bytes(size))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=("reply", "files"))
    parser.add_argument("--server", required=True, metavar="MODULE:CLASS")
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    arguments = parser.parse_args()

    module = import_module("http.server" if arguments.server.startswith("http.") else "doorkeep.http.server")
    server_class = resolve_name(arguments.server)
    server_class = type(server_class.__name__, (server_class,), {"request_queue_size": BACKLOG, **dict(arguments.set)})
    with tempfile.TemporaryDirectory() as folder:
        make_files(folder)
        if arguments.work == "reply":
            handler: Any = type("Reply", (Reply, module.BaseHTTPRequestHandler), {})
        else:
            # As `doorkeep http` serves them; to the standard library's handler it means nothing.
            kept = {"memory": FileMemory()}
            time.sleep(SETTLED_AFTER + 0.1)  # what is newer may change unseen, and is not kept
            handler = partial(type("Files", (Quiet, module.SimpleHTTPRequestHandler), kept), directory=folder)
        with server_class(("127.0.0.1", 0), handler) as server:
            announce(server.server_address[1])
            server.serve_forever()


if __name__ == "__main__":
    main()
