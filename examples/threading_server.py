"""Answers each client from a thread of its own, and says which. The clients run within, and then it ends.

python examples/threading_server.py
"""

from __future__ import annotations

import socket
import threading

from doorkeep import StreamRequestHandler, ThreadingTCPServer


class ThreadNameHandler(StreamRequestHandler):
    def handle(self) -> None:
        text = self.rfile.readline(65536).decode().strip()
        self.wfile.write(f"{threading.current_thread().name}: {text}\n".encode())


def ask(address: tuple[str, int], text: str) -> str:
    """Return the server's answer to a line."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(f"{text}\n".encode())
        with connection.makefile(encoding="utf-8") as answers:
            return answers.readline().strip()


def main() -> None:
    # Port 0 takes a free one; `server_address` then tells which. The end of the block ends `serve_forever` as well.
    with ThreadingTCPServer(("127.0.0.1", 0), ThreadNameHandler, drain_timeout=1.0) as server:
        print("Listening on port", server.server_address[1])
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        print("Serving in", serving.name)
        for number in range(1, 4):
            print(ask(server.server_address, f"Hello World {number}"))


if __name__ == "__main__":
    main()
