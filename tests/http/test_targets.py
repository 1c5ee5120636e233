"""Targets in absolute form (RFC 9112 section 3.2.2): every server must take them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http import cgi
from doorkeep.http.cgi import CGIHTTPRequestHandler
from doorkeep.http.servers import ThreadingHTTPServer
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.http.targets import origin_form, split_absolute_form
from doorkeep.testing.plugin import Serve
from tests.http.fetching import fetch


@pytest.mark.parametrize(
    ("target", "authority", "rest"),
    [
        ("http://example.org/a%20b?x#y", "example.org", "/a%20b?x"),
        ("HTTP://example.org:8000", "example.org:8000", "/"),
        ("http://[::1]:80/", "[::1]:80", "/"),
        ("https://user:password@example.org?x=/", "example.org", "/?x=/"),
        ("http:///a", "", "/a"),
    ],
)
def test_absolute_form(target: str, authority: str, rest: str) -> None:
    assert split_absolute_form(target) == (authority, rest)
    assert origin_form(target) == rest


@pytest.mark.parametrize("target", ["/", "/http://example.org/", "*", "example.org:443", "a.txt", ""])
def test_other_forms_stay(target: str) -> None:
    assert split_absolute_form(target) is None
    assert origin_form(target) == target


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def test_files(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_text("found")
    served = serve(ThreadingHTTPServer, partial(Quiet, directory=tmp_path))
    assert fetch(served, "http://example.org/folder/file.txt?x").body == b"found"
    assert fetch(served, "http://example.org/folder/file.txt", "HEAD").status == 200
    assert fetch(served, "http://example.org/folder?x").headers["Location"] == "http://example.org/folder/?x"
    assert b"<h1>Directory listing for /folder/</h1>" in fetch(served, "http://example.org/folder/").body
    assert fetch(served, "http://example.org/../../etc/passwd").status == 404
    assert fetch(served, "folder/file.txt").body == b"found"  # as the standard module answers it


@pytest.mark.filterwarnings("ignore:http.server.CGIHTTPRequestHandler is deprecated:DeprecationWarning")
def test_programs_are_run_and_never_served(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgi, "_unprivileged", dict)  # nobody may not enter the folders of tests
    program = tmp_path / "cgi-bin" / "program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '\\r\\nran'\n")
    program.chmod(0o755)
    served = serve(ThreadingHTTPServer, partial(QuietCGI, directory=tmp_path))
    for method in ("GET", "POST"):
        assert fetch(served, "http://example.org/cgi-bin/program", method).body == b"ran"
    assert fetch(served, "http://example.org/cgi-bin/../cgi-bin/program").body == b"ran"


class QuietCGI(CGIHTTPRequestHandler, Quiet):
    pass
