"""gevent's servers. Nothing is patched, as they hand over sockets of gevent."""

import argparse
from collections.abc import Callable

from gevent.server import DatagramServer, StreamServer  # type: ignore[import-untyped]  # gevent ships no types
from gevent.socket import socket  # type: ignore[import-untyped]  # as above

from bench.contenders import BACKLOG, announce

Address = tuple[str, int]


def echo(client: socket, address: Address) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def lines(client: socket, address: Address) -> None:
    with client.makefile("rb") as file:
        for line in file:
            client.sendall(line)


def line(client: socket, address: Address) -> None:
    with client.makefile("rb") as file:
        client.sendall(file.readline())


class Datagrams(DatagramServer):  # type: ignore[misc]  # of unknown type, as said above
    def handle(self, data: bytes, address: Address) -> None:
        self.sendto(data, address)


HANDLERS: dict[str, Callable[[socket, Address], None]] = {"echo": echo, "lines": lines, "line": line}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("handler", choices=[*HANDLERS, "datagram"])
    handler = parser.parse_args().handler
    if handler == "datagram":
        server = Datagrams(("127.0.0.1", 0))
    else:
        server = StreamServer(("127.0.0.1", 0), HANDLERS[handler], backlog=BACKLOG)
    server.start()
    announce(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
