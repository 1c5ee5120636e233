"""What programs are told of their request: the variables of CGI."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http import cgi
from doorkeep.testing.served import Served
from tests.http.fetching import fetch


def variables(body: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in body.decode().splitlines() if "=" in line)


def test_environment(programs: Served[Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "yes")
    monkeypatch.setenv("HTTP_COOKIE", "of the server")
    monkeypatch.setenv("SERVER_SOFTWARE", "of the server")
    request = (
        b"POST /cgi-bin/environment.sh/more%20path?a=b?c=d HTTP/1.0\r\nContent-Length: 2\r\nContent-Type: text/x\r\n"
        b"Accept: a\r\nACCEPT: b\r\nCookie: c=1\r\nCookie: d=2\r\nReferer: r\r\nUser-Agent: u\r\n"
        b"Authorization: Basic " + base64.b64encode(b"ann:secret") + b"\r\nProxy: http://evil\r\nX-Own: x\r\n\r\nhi"
    )
    found = variables(programs.exchange(request).partition(b"\r\n\r\n")[2])
    assert found["SERVER_SOFTWARE"].startswith("SimpleHTTP/")
    expected = {
        "OF_THE_SERVER": "yes",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/cgi-bin/environment.sh",
        "PATH_INFO": "/more path",
        "PATH_TRANSLATED": str(folder / "more path"),
        "QUERY_STRING": "a=b?c=d",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "2",
        "HTTP_ACCEPT": "a,b",
        "HTTP_COOKIE": "c=1, d=2",
        "HTTP_REFERER": "r",
        "HTTP_USER_AGENT": "u",
        "AUTH_TYPE": "Basic",
        "REMOTE_USER": "ann",
    }
    assert {name: found[name] for name in expected} == expected
    assert "HTTP_PROXY" not in found
    assert "HTTP_X_OWN" not in found
    assert os.environ["SERVER_SOFTWARE"] == "of the server"


def test_environment_of_a_request_that_tells_nothing(programs: Served[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_COOKIE", "of the server")
    found = variables(fetch(programs, "/cgi-bin/environment.sh").body)
    assert found["HTTP_COOKIE"] == found["QUERY_STRING"] == found["CONTENT_LENGTH"] == ""
    assert found["CONTENT_TYPE"] == "text/plain"
    assert "AUTH_TYPE" not in found


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("", {}),
        ("Basic", {}),
        ("Basic a b", {}),
        ("Bearer token", {"AUTH_TYPE": "Bearer"}),
        ("Basic !", {"AUTH_TYPE": "Basic"}),
        ("Basic é", {"AUTH_TYPE": "Basic"}),
        ("basic YTpi", {"AUTH_TYPE": "basic", "REMOTE_USER": "a"}),
        ("Basic YTpiOmM=", {"AUTH_TYPE": "Basic"}),
    ],
)
def test_authorization(field: str, found: dict[str, str]) -> None:
    assert cgi._authorization(field) == found
