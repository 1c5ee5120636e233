"""How long `shutdown()` takes: the standard library's servers and doorkeep's.

    python -m bench.stopping [--rounds 50] [--output docs/benchmarks]

A server runs `serve_forever` in a thread, with 20 clients connected that say nothing to those that handle requests
side by side; what is measured is the call of `shutdown()` in another thread, from its beginning to its return.
"""

import argparse
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

from bench.contenders.handlers import request_handler
from bench.programs import ROOT
from bench.report import write_page
from bench.rounds import installed
from bench.tables import markdown_table

CLIENTS = 20
SIDE_BY_SIDE = ("Threading", "Green", "Async")
SHARED = ("TCPServer", "UDPServer", "ThreadingTCPServer", "ThreadingUDPServer", "ForkingTCPServer")
SERVERS = (
    *(f"socketserver:{name}" for name in SHARED),
    *(f"doorkeep:{name}" for name in SHARED),
    "doorkeep:ThreadPoolTCPServer",
    "doorkeep.concurrency.greenlets:GreenTCPServer",
    "doorkeep.concurrency.greenlets:GreenUDPServer",
    "doorkeep.concurrency.tasks:AsyncTCPServer",
    "doorkeep.concurrency.tasks:AsyncUDPServer",
)
REQUIRED = {"doorkeep.concurrency.greenlets": "greenlet"}


def stop_once(server_class: str) -> float:
    """Return the seconds that one `shutdown()` took."""
    module, _, name = server_class.partition(":")
    datagrams = "UDP" in name
    kind = f"{'async-' if name.startswith('Async') else ''}{'datagram' if datagrams else 'echo'}"
    handler = request_handler(import_module(module.partition(".")[0]), kind)
    with ExitStack() as stack:
        server = resolve_name(server_class)(("127.0.0.1", 0), handler)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        if name.startswith(SIDE_BY_SIDE) and not datagrams:
            for _ in range(CLIENTS):
                client = stack.enter_context(socket.create_connection(server.server_address))
                client.sendall(b"x")
                client.recv(1)
        time.sleep(random.uniform(0.05, 0.1))  # at no particular moment of the standard's polling
        began = time.perf_counter()
        server.shutdown()
        took = time.perf_counter() - began
        stack.close()
        serving.join()
        server.server_close()
        return took


def measurable() -> list[str]:
    """Return the server classes whose modules this Python has."""
    modules = {server: server.partition(":")[0] for server in SERVERS}
    return [server for server, module in modules.items() if installed(REQUIRED.get(module, module))]


def label(server_class: str) -> str:
    """Return the name of a row: the package and the class."""
    module, _, name = server_class.partition(":")
    return f"{module.partition('.')[0]}.{name}"


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, write the report; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.stopping", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    times: dict[str, list[float]] = {server: [] for server in measurable()}
    for _ in range(options.rounds):
        for server, taken in times.items():
            taken.append(stop_once(server) * 1e3)
    rows = [[label(server), f"{statistics.median(taken):.3f}", f"{max(taken):.3f}"] for server, taken in times.items()]
    measured = markdown_table(["server", "median ms", "longest ms"], rows)
    write_page(options.output, "stopping", __doc__, measured, f"{options.rounds} rounds.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
