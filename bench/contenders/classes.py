"""A contender with the interface of `socketserver`: a class of the standard library, or one of doorkeep.

python -m bench.contenders.classes echo --server=doorkeep:ThreadingTCPServer --set=request_queue_size=1024
"""

import argparse
import ast
import sys
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

from bench.contenders import announce
from bench.contenders.handlers import HANDLERS, request_handler


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, ast.literal_eval(value)


def main() -> None:
    """Serve a handler with a server class, whose package has the handler's base class as well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("handler", choices=HANDLERS)
    parser.add_argument("--server", required=True, metavar="MODULE:CLASS")
    parser.add_argument("--unix", metavar="PATH", help="serve at this path, instead of a port")
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--without", metavar="MODULE", help="do as if this module were not installed")
    arguments = parser.parse_args()

    if arguments.without is not None:
        sys.modules[arguments.without] = None  # type: ignore[assignment]  # what makes an import fail
    package = import_module(arguments.server.partition(":")[0].partition(".")[0])
    server_class = resolve_name(arguments.server)
    server_class = type(server_class.__name__, (server_class,), dict(arguments.set))
    address = arguments.unix or ("127.0.0.1", 0)
    with server_class(address, request_handler(package, arguments.handler)) as server:
        announce(0 if arguments.unix else server.server_address[1])
        server.serve_forever()


if __name__ == "__main__":
    main()
