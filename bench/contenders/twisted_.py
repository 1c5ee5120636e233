"""Twisted's protocols, on the reactor that it takes by default."""

import argparse
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.protocols.basic import LineOnlyReceiver

from bench.contenders import BACKLOG, announce

reactor: Any = installed  # a module to type checkers, and the reactor once it is imported


class Echo(Protocol):
    transport: Any  # declared without what a stream's can do

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Lines(LineOnlyReceiver):
    transport: Any
    sendLine: Any
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Line(Lines):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)
        self.transport.loseConnection()


class Datagram(DatagramProtocol):
    transport: Any

    def datagramReceived(self, datagram: bytes, address: tuple[str, int]) -> None:
        self.transport.write(datagram, address)


PROTOCOLS: dict[str, type[Protocol]] = {"echo": Echo, "lines": Lines, "line": Line}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("handler", choices=[*PROTOCOLS, "datagram"])
    handler = parser.parse_args().handler
    if handler == "datagram":
        port = reactor.listenUDP(0, Datagram(), interface="127.0.0.1")
    else:
        factory = Factory.forProtocol(PROTOCOLS[handler])
        port = reactor.listenTCP(0, factory, backlog=BACKLOG, interface="127.0.0.1")
    announce(port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main()
