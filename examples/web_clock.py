"""A page with a clock that the server keeps going, by server-sent events.

python examples/web_clock.py
http://127.0.0.1:8000/
"""

from __future__ import annotations

import argparse
import signal
import time

from doorkeep.http.event_stream import EventStream
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Clock</title>
<style>
  :root { color-scheme: light dark; font: 15vw/1 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
  body { display: grid; place-items: center; height: 100vh; margin: 0; }
</style>
<time>--:--:--</time>
<script>
  const events = new EventSource("/events");
  events.addEventListener("tick", event => document.querySelector("time").textContent = event.data);
</script>
"""


class ClockHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_page()
        elif self.path == "/events":
            self.send_ticks()
        else:
            self.send_error(404)

    def send_page(self) -> None:
        page = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", len(page))
        self.end_headers()
        self.wfile.write(page)

    def send_ticks(self) -> None:
        with EventStream(self) as events:
            if events.last_event_id is not None:
                events.comment(f"welcome back, the last that you saw was {events.last_event_id}")
            while True:
                now = time.time()
                events.send(time.strftime("%H:%M:%S", time.localtime(now)), event="tick", id=f"{now:.0f}", retry=2)
                events.wait(1 - now % 1)


class ClockServer(GreenHTTPServer):
    block_on_close = False  # pages stay open for hours: the end ends them
    max_connections = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a page with a clock.")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    port = parser.parse_args().port
    with ClockServer(("127.0.0.1", port), ClockHandler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
