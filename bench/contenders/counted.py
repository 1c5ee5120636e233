"""A green server that tells what it holds: its handler answers a line with it, and "count" with how many greenlets."""

import gc
from typing import Any

from greenlet import greenlet

from bench.contenders import BACKLOG, announce
from doorkeep import GreenTCPServer, StreamRequestHandler
from doorkeep.green import offload


def compute(count: int = 20_000_000) -> None:
    """Keep a processor busy, for some 0.3 seconds."""
    while count:
        count -= 1


class Answers(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self.answer(line))

    def answer(self, line: bytes) -> bytes:
        """Return what a line asks for, or the line."""
        if line == b"count\n":
            gc.collect()
            return b"%d\n" % sum(isinstance(known, greenlet) for known in gc.get_objects())
        if line == b"compute\n":
            compute()
        elif line == b"offload\n":
            offload(compute)
        elif line == b"place\n":
            return b"%d %s\n" % (self.server.stats().blocked, places[-1].encode() if places else b"nowhere")
        return line


places: list[str] = []


def main() -> None:
    """Serve until the process is ended."""
    from doorkeep.events import HubBlocked, subscribe

    def note(event: Any) -> None:
        places.append(event.place)

    subscribe(note, HubBlocked)
    with GreenTCPServer(("127.0.0.1", 0), Answers, request_queue_size=BACKLOG) as server:
        announce(server.server_address[1])
        server.serve_forever()


if __name__ == "__main__":
    main()
