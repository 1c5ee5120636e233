"""Chunked bodies, which programs for the standard module decode themselves."""

from __future__ import annotations

import http.client
from contextlib import closing
from pathlib import Path

import pytest

from tests.operate.commands import TIMEOUT, python, running

DECODING_SERVER = """\
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        content = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().strip(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


FLASK_SERVER = """\
import flask
from werkzeug.serving import make_server

application = flask.Flask("application")

@application.post("/")
def echo():
    return flask.request.get_data()

server = make_server("127.0.0.1", 0, application, threaded=True)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize("program", ["decoding", "flask"])
@pytest.mark.parametrize("concurrency", ["thread", "green", "fork"])
def test_programs_decode_chunked_bodies(program: str, concurrency: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(DECODING_SERVER if program == "decoding" else FLASK_SERVER)
    with running("adopt", "--concurrency", concurrency, "program.py", cwd=tmp_path) as command:
        port = int(command.wait_for_line(r"^port (\d+)$")[1])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
            connection.connect()
            first = connection.sock
            for pieces in ([b"hello, ", b"world"], [b"x" * 100_000, b"y"], []):
                for body in (iter(pieces), b"".join(pieces)):  # chunked, and of a known length
                    connection.request("POST", "/", body)
                    response = connection.getresponse()
                    assert (response.status, response.read()) == (200, b"".join(pieces))
            assert (connection.sock is first) is (program == "decoding")  # Werkzeug's server keeps no connection


def test_install_leaves_chunked_bodies_to_those_who_do_not_know_us() -> None:
    told = python(
        "-c",
        "import doorkeep; doorkeep.install()\n"
        "from http.server import *\n"
        "from doorkeep.http.wsgi import WSGIHandler\n"
        "class Theirs(BaseHTTPRequestHandler): pass\n"
        "class Knows(BaseHTTPRequestHandler): decodes_chunked = True\n"
        "handlers = Theirs, SimpleHTTPRequestHandler, Knows, CGIHTTPRequestHandler, WSGIHandler\n"
        "print([handler.decodes_chunked for handler in handlers])",
    )
    assert told.stdout == "[False, False, True, True, True]\n", told.stderr
