"""A process that runs out of descriptors for real."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack

# Runs out of descriptors for real. Tells how many clients it has when it does, and on a line of input how it fared.
STARVING = """
import logging, resource, sys, threading
from doorkeep import StreamRequestHandler, ThreadingTCPServer
from doorkeep.events import AcceptFailed, subscribe
from doorkeep.testing import FaultySocket

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

class Held(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"in")
        self.rfile.read()

logging.basicConfig(stream=sys.stderr, format="%(message)s")
subscribe(lambda event: print(event.server.stats().accepted, flush=True), AcceptFailed)
with ThreadingTCPServer(("127.0.0.1", 0), Held) as server:
    server.socket = FaultySocket(server.socket, accept=())
    threading.Thread(target=server.serve_forever).start()
    print(server.server_address[1], flush=True)
    for _ in sys.stdin:
        statistics = server.stats()
        failures = server.socket.calls["accept"] - statistics.accepted
        print(statistics.accepted, statistics.accept_errors.get("resources", 0), failures, flush=True)
    server.shutdown()
"""


def test_a_process_that_runs_out_of_descriptors_recovers() -> None:
    """For real: more clients than descriptors, then fewer. All are served, each time is logged, nothing spins."""
    command = [sys.executable, "-c", STARVING]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    with child, ExitStack() as clients:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(child.stdout.readline())
        waiting = [clients.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(60)]
        limit = int(child.stdout.readline())
        assert 10 < limit < 40
        for client in waiting:  # they are accepted in the order in which they came
            assert client.recv(2) == b"in"
            client.close()
        child.stdin.write("how is it?\n")
        while len(answer := child.stdout.readline().split()) == 1:
            pass  # how many clients it had when it ran out once more
        accepted, told, failures = map(int, answer)
        assert accepted == 60
        assert told in range(1, failures + 1)  # more than once where clients leave so slowly that it fills up again
        # Those after a pause, and one at the end of each batch: ten thousands were it to spin.
        assert failures < 200
        child.stdin.close()
        assert child.stderr is not None
        assert child.stderr.read() == "accepting pauses: [Errno 24] Too many open files\n" * told
    assert child.returncode == 0
