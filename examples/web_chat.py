"""A chat in the browser: a page, and a WebSocket for each who has it open. Everyone reads what one says.

python examples/web_chat.py
http://127.0.0.1:8000/

Who does not read what the others say is dropped, and delays nobody.
"""

from __future__ import annotations

import argparse
import queue
import signal

from doorkeep.green import Queue, spawn
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.websocket import WebSocketClosed, WebSocketHandler

# How many messages a member may be behind before it is dropped.
MOST_UNREAD = 100

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
  body { max-width: 40rem; margin: 1rem auto; padding: 0 1rem; }
  input { font: inherit; width: 100%; box-sizing: border-box; padding: 0.5rem; }
</style>
<form><input name="line" placeholder="Your name" autocomplete="off" autofocus></form>
<div id="lines" role="log"></div>
<script>
  const input = document.querySelector("input"), lines = document.querySelector("#lines");
  const show = text => lines.prepend(Object.assign(document.createElement("div"), { textContent: text }));
  const socket = new WebSocket(location.href.replace("http", "ws"));
  socket.onmessage = event => show(event.data);
  socket.onclose = event => show(`* the chat has ended ${event.reason}`);
  document.querySelector("form").onsubmit = event => {
    event.preventDefault();
    socket.send(input.value);
    input.value = "";
    input.placeholder = "Say something";
  };
</script>
"""


class Chat:
    """Who is there, and what each has yet to read. For the greenlets of one thread."""

    def __init__(self) -> None:
        self._unread: dict[str, Queue[str | None]] = {}

    def enter(self, name: str) -> Queue[str | None] | None:
        """Let a member in; return what it is to read, ended by None. None if the name is taken."""
        if name in self._unread:
            return None
        lines: Queue[str | None] = Queue(MOST_UNREAD)
        self._unread[name] = lines
        self.tell(f"* {name} is here")
        return lines

    def leave(self, name: str, lines: Queue[str | None]) -> None:
        """Let a member go, unless it was dropped."""
        if self._unread.get(name) is lines:
            self._drop(name)
            self.tell(f"* {name} has gone")

    def tell(self, line: str) -> None:
        """Have all members read a line."""
        for name, lines in list(self._unread.items()):
            try:
                lines.put_nowait(line)
            except queue.Full:
                self._drop(name)

    def _drop(self, name: str) -> None:
        lines = self._unread.pop(name)
        while not lines.empty():
            lines.get()
        lines.put(None)


class ChatHandler(WebSocketHandler):
    max_message_size = 1000

    def do_GET(self) -> None:
        page = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", len(page))
        self.end_headers()
        self.wfile.write(page)

    def handle_websocket(self) -> None:
        chat: Chat = self.server.chat
        name = self.receive()
        if not isinstance(name, str) or not name.strip():
            self.close(1008, "no name")
            return
        lines = chat.enter(name)
        if lines is None:
            self.close(1008, "that name is taken")
            return
        writing = spawn(self.write_lines, lines)
        try:
            for text in self:
                chat.tell(f"{name}: {text if isinstance(text, str) else '?'}")
        finally:
            chat.leave(name, lines)
        writing.result()

    def write_lines(self, lines: Queue[str | None]) -> None:
        """Send lines as they come; at their end the member has gone, or is too slow."""
        try:
            while (line := lines.get()) is not None:
                self.send(line)
            self.close(1008, "too slow")
        except WebSocketClosed:
            return


class ChatServer(GreenHTTPServer):
    block_on_close = False  # members stay for hours: the end ends them
    max_connections = 1000

    def __init__(self, port: int) -> None:
        self.chat = Chat()
        super().__init__(("127.0.0.1", port), ChatHandler)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a chat for browsers.")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ChatServer(port) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
