"""The access log: a line for each request, in three formats, and whatever a program makes of it."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from doorkeep.http import access_log
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.handler import BaseHTTPRequestHandler
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from tests.background import eventually

STANDARD = r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d\] "
COMBINED = r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
every_server = pytest.mark.parametrize("server_class", [HTTPServer, ThreadingHTTPServer, GreenHTTPServer])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path.endswith("told"):
            self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.log_message("%s, by the program", "said")
        self.send_error(404, "No \x1bthing")


class Log:
    """What was written to `sys.stderr`."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    def text(self) -> str:
        self._text += self._captured.readouterr().err
        return self._text

    def lines(self, count: int) -> list[str]:
        """Wait for so many lines."""
        assert eventually(lambda: self.text().count("\n") >= count), self._text
        return self._text.splitlines()


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    return Log(capsys)


class TestStandard:
    @every_server
    def test_a_line_a_request(self, serve: Serve, server_class: Any, log: Log) -> None:
        serve(server_class, Handler).exchange(b"GET /a HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n")
        first, second = log.lines(2)
        assert re.fullmatch(STANDARD + r'"GET /a HTTP/1\.1" 200 -', first)
        assert re.fullmatch(STANDARD + r'"HEAD /b HTTP/1\.1" 200 -', second)

    def test_errors_have_a_line_more(self, serve: Serve, log: Log) -> None:
        serve(ThreadingHTTPServer, Handler).exchange(b"PUT / HTTP/1.1\r\n\r\n")
        first, second = log.lines(2)
        assert re.fullmatch(STANDARD + r"code 501, message Unsupported method \('PUT'\)", first)
        assert re.fullmatch(STANDARD + r'"PUT / HTTP/1\.1" 501 -', second)

    def test_control_characters_are_escaped(self, log: Log) -> None:
        handler = Handler.__new__(Handler)
        handler.client_address = ("127.0.0.1", 1)
        handler.log_message("%s", "a\x1b[31m\n\x9f\\x")
        (line,) = log.text().splitlines()
        assert line.endswith(r"] a\x1b[31m\x0a\x9f\\x")

    def test_the_time_is_local_and_in_english(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1e9)
        access_log._local_time.cache_clear()
        expected = datetime.fromtimestamp(1e9)
        assert Handler.__new__(Handler).log_date_time_string() == f"{expected:%d}/Sep/2001 {expected:%H:%M:%S}"

    @pytest.mark.parametrize("setting", ["standard", "combined", "json", "off"])
    def test_what_a_program_overrides_gets_the_standard_arguments(self, serve: Serve, log: Log, setting: str) -> None:
        told: list[Any] = []

        class Tells(Handler):
            def log_message(self, format: str, *arguments: Any) -> None:
                told.append((format, arguments))

        serve(ThreadingHTTPServer, Tells, access_log=setting).exchange(b"GET /a HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\n\r\n")
        assert told == [
            ('"%s" %s %s', ("GET /a HTTP/1.1", "200", "-")),
            ("code %d, message %s", (501, "Unsupported method ('PUT')")),
            ('"%s" %s %s', ("PUT / HTTP/1.1", "501", "-")),
        ]
        assert log.text() == ""

    def test_requests_and_errors_may_go_elsewhere(self, serve: Serve, log: Log) -> None:
        told: list[Any] = []

        class Tells(Handler):
            def log_request(self, code: Any = "-", size: Any = "-") -> None:
                told.append(int(code))

            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        serve(ThreadingHTTPServer, Tells, access_log="json").exchange(
            b"GET /told HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\n\r\n"
        )
        assert told == [200, "code 501, message Unsupported method ('PUT')", 501]
        assert log.text() == ""


class TestOff:
    @every_server
    def test_leaves_what_the_program_says(self, serve: Serve, server_class: Any, log: Log) -> None:
        """It comes last: lines of the requests before it would stand above."""
        served = serve(server_class, Handler, access_log="off")
        assert served.exchange(b"GET /a HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        served.exchange(b"POST / HTTP/1.1\r\n\r\n")
        (line,) = log.lines(1)
        assert re.fullmatch(STANDARD + "said, by the program", line)

    def test_may_be_switched_while_it_serves(self, serve: Serve, log: Log) -> None:
        class Switches(Handler):
            def do_SWITCH(self) -> None:
                self.server.access_log = "json"
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        serve(ThreadingHTTPServer, Switches, access_log="off").exchange(b"SWITCH / HTTP/1.1\r\n\r\n")
        (line,) = map(json.loads, log.lines(1))
        assert (line["status"], "seconds" in line) == (200, False)  # nobody has looked at the clock


class TestCombined:
    @every_server
    def test_tells_the_size_and_where_clients_come_from(self, serve: Serve, server_class: Any, log: Log) -> None:
        serve(server_class, Handler, access_log="combined").exchange(
            b'GET /told HTTP/1.1\r\nReferer: /x\r\nUser-Agent: a "b" \\ \xe9\r\n\r\n'
            b"GET /chunks HTTP/1.1\r\n\r\nHEAD /told HTTP/1.1\r\n\r\nGET /close HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        told, chunks, head, close = log.lines(4)
        assert re.fullmatch(COMBINED + r'"GET /told HTTP/1\.1" 200 5 "/x" "a \\"b\\" \\\\ é"', told)
        assert re.fullmatch(COMBINED + r'"GET /chunks HTTP/1\.1" 200 5 "-" "-"', chunks)
        assert re.fullmatch(COMBINED + r'"HEAD /told HTTP/1\.1" 200 0 "-" "-"', head)
        assert re.fullmatch(COMBINED + r'"GET /close HTTP/1\.1" 200 - "-" "-"', close)

    def test_errors_are_told_by_their_status(self, serve: Serve, log: Log) -> None:
        served = serve(ThreadingHTTPServer, Handler, access_log="combined")
        served.exchange(b"PUT / HTTP/1.1\r\n\r\n")
        served.exchange(b"GET / HTTP/1.1 x\r\n\r\n")
        first, second = log.lines(2)
        assert re.fullmatch(COMBINED + r'"PUT / HTTP/1\.1" 501 \d+ "-" "-"', first)
        assert re.fullmatch(COMBINED + r'"GET / HTTP/1\.1 x" 400 \d+ "-" "-"', second)


class TestJSON:
    @every_server
    def test_an_object_a_request(self, serve: Serve, server_class: Any, log: Log) -> None:
        before = datetime.now(UTC).timestamp()
        serve(server_class, Handler, access_log="json").exchange(
            b"GET /told HTTP/1.1\r\nUser-Agent: x\r\n\r\nGET /close HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        told, close = map(json.loads, log.lines(2))
        assert before - 1 < datetime.fromisoformat(told.pop("time")).timestamp() < time.time() + 1
        assert 0 <= told.pop("seconds") < 60
        assert told == {
            "client": "127.0.0.1", "request": "GET /told HTTP/1.1", "status": 200, "size": 5, "user_agent": "x",
        }  # fmt: skip
        assert close.keys() == {"time", "client", "request", "status", "seconds"}

    def test_errors_and_words_of_the_program(self, serve: Serve, log: Log) -> None:
        serve(ThreadingHTTPServer, Handler, access_log="json").exchange(b"POST / HTTP/1.1\r\n\r\n")
        said, failed = map(json.loads, log.lines(2))
        assert said["message"] == "said, by the program"
        assert (failed["status"], failed["error"]) == (404, "code 404, message No \x1bthing")

    def test_a_timeout(self, serve: Serve, log: Log) -> None:
        class Hurries(Handler):
            timeout = 0.05

        assert serve(ThreadingHTTPServer, Hurries, access_log="json").client.recv(1) == b""
        (line,) = map(json.loads, log.lines(1))
        assert line["message"].startswith("Request timed out: ")
        assert "status" not in line

    def test_a_request_line_that_is_too_long(self, serve: Serve, log: Log) -> None:
        serve(ThreadingHTTPServer, Handler, access_log="json").exchange(b"GET /" + b"x" * 65536)
        (line,) = map(json.loads, log.lines(1))
        assert (line["request"], line["status"]) == ("", 414)
        assert line["seconds"] < 60
