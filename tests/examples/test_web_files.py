"""The files of a directory for those who know the password."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.examples.programs import Program


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "letter.txt").write_text("dear all")
    with Program("web_files.py", tmp_path, "--password", "s\u00e9same", "--port", 0) as program:
        yield program.port()
        program.end()


def ask(port: int, authorization: str | None, method: str = "GET") -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=50)) as connection:
        connection.request(method, "/letter.txt", headers={"Authorization": authorization} if authorization else {})
        response = connection.getresponse()
        return response.status, response.read()


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def test_with_the_password(port: int) -> None:
    assert ask(port, basic("anybody:s\u00e9same")) == (200, b"dear all")


def test_without(port: int) -> None:
    fields = (
        None,
        basic("any:wrong"),
        basic("any:"),
        basic("s\u00e9same"),
        "Basic x",
        "Basic \u00e9",
        "Bearer s\u00e9same",
    )
    for authorization in fields:
        for method in ("GET", "HEAD"):
            assert ask(port, authorization, method) == (401, b"")
