"""The files of a directory for those who know the password, with `SimpleHTTPRequestHandler`.

python examples/web_files.py DIR --password secret
http://127.0.0.1:8000/
"""

from __future__ import annotations

import argparse
import base64
import hmac
import signal
from functools import partial
from typing import Any

from doorkeep.http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class PrivateFilesHandler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    follow_links = False
    text_charset = "utf-8"
    extra_response_headers = (("Cache-Control", "private, max-age=60"),)

    def __init__(self, *args: Any, password: str, **kwargs: Any) -> None:
        self.password = password.encode()
        super().__init__(*args, **kwargs)

    def send_head(self) -> Any:
        # Both GET and HEAD come by here.
        if hmac.compare_digest(self.password_given(), self.password):
            return super().send_head()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="files", charset="UTF-8"')
        self.send_header("Content-Length", 0)
        self.end_headers()
        return None

    def password_given(self) -> bytes:
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(credentials) if scheme.lower() == "basic" else b""
        except ValueError:  # no Base64
            return b""
        return decoded.partition(b":")[2]


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the files of a directory to those who know the password.")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument("--password", required=True, help="the user name may be any")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.password:
        parser.error("the password cannot be empty")
    handler = partial(PrivateFilesHandler, directory=arguments.directory, password=arguments.password)
    with ThreadingHTTPServer(("127.0.0.1", arguments.port), handler) as server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.shutdown())
        print("Listening on port", server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
