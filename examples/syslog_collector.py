"""Collects syslog messages by UDP (RFC 5426) and TCP (RFC 6587), and writes each to a file as a line of JSON.

python examples/syslog_collector.py --output syslog.jsonl
logger --server 127.0.0.1 --port 5514 --udp hello
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from doorkeep import DatagramRequestHandler, StreamRequestHandler, ThreadingTCPServer, UDPServer

# In the order of their numbers: RFC 5424, section 6.2.1.
# fmt: off
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)
# fmt: on
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

# RFC 5424 writes a version after the priority, RFC 3164 does not.
HEADER = re.compile(rb"<(0|[1-9]\d?|1[0-8]\d|19[01])>([1-9]\d{0,2} )?")
# A message without a priority counts as user.notice: RFC 3164, section 4.3.3.
USER_NOTICE = 13
LONGEST_MESSAGE = 65536


def decode(message: bytes) -> dict[str, Any]:
    """Return the parts of a message."""
    header = HEADER.match(message)
    facility, severity = divmod(int(header[1]) if header else USER_NOTICE, len(SEVERITIES))
    return {
        "facility": FACILITIES[facility],
        "severity": SEVERITIES[severity],
        "format": "RFC 5424" if header and header[2] else "RFC 3164",
        "message": message[header.end() if header else 0 :].decode(errors="replace").rstrip("\r\n\0"),
    }


def read_messages(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the messages of a connection: each counted in octets or ended by a newline, as its first byte tells.

    Raises `ValueError` for one that is neither (RFC 6587, section 3.4), is too long, or is cut short.
    """
    while first := stream.read(1):
        if first.isdigit():
            yield read_counted(stream, first)
        elif first != b"\n":
            line = first + stream.readline(LONGEST_MESSAGE)
            if len(line) > LONGEST_MESSAGE:
                raise ValueError("a message without end")
            yield line


def read_counted(stream: BinaryIO, digits: bytes) -> bytes:
    """Return a message whose length comes before it: `5 hello`."""
    while (byte := stream.read(1)).isdigit() and len(digits) < len(str(LONGEST_MESSAGE)):
        digits += byte
    if byte != b" " or digits.startswith(b"0") or int(digits) > LONGEST_MESSAGE:
        raise ValueError(f"no length of a message: {digits + byte!r}")
    message = stream.read(int(digits))
    if len(message) < int(digits):
        raise ValueError("a message that was cut short")
    return message


class Log:
    """A file of messages, for any thread."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, client_address: Any, message: bytes) -> None:
        """Write a message; JSON escapes what could pass for another line."""
        line = json.dumps({"from": client_address[0], **decode(message)})
        with self._lock:
            print(line, file=self._file, flush=True)


class DatagramHandler(DatagramRequestHandler):
    def handle(self) -> None:
        self.server.log.add(self.client_address, self.packet)


class StreamHandler(StreamRequestHandler):
    def handle(self) -> None:
        try:
            for message in read_messages(self.rfile):
                self.server.log.add(self.client_address, message)
        except ValueError as error:  # there is no telling where the next message begins
            logging.warning("%s sent %s", self.client_address[0], error)


class UDPCollector(UDPServer):
    max_packet_size = 65535
    reply_when_empty = False  # syslog answers nothing
    drain_timeout = 1.0
    log: Log


class TCPCollector(ThreadingTCPServer):
    allow_reuse_address = True  # start again at once, although old connections linger
    drain_timeout = 1.0  # clients that are still connected then are cut off
    idle_timeout = 3600.0  # a sender that is alive connects again
    max_connections = 1000
    log: Log


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect syslog messages by UDP and TCP.")
    parser.add_argument("--port", type=int, default=5514, help="0 takes free ones (default: %(default)s)")
    parser.add_argument("--output", default="syslog.jsonl", help="the file to add to (default: %(default)s)")
    arguments = parser.parse_args()
    address = ("127.0.0.1", arguments.port)
    with (
        open(arguments.output, "a", encoding="utf-8") as file,
        UDPCollector(address, DatagramHandler) as udp,
        TCPCollector(address, StreamHandler) as tcp,
    ):
        udp.log = tcp.log = Log(file)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: tcp.shutdown())
        threading.Thread(target=udp.serve_forever).start()
        print(f"Listening on UDP port {udp.server_address[1]}, TCP port {tcp.server_address[1]}", flush=True)
        tcp.serve_forever()


if __name__ == "__main__":
    main()
