"""A browser is served as it expects; `tests.http.browser` says how."""

from __future__ import annotations

import os

import pytest

from tests import prerequisites
from tests.http import browser


def test_what_it_sees() -> None:
    program = browser.chromium()
    # Not in continuous integration either, where a browser may be there and lack what it needs of the system.
    if program is None or os.environ.get("CI") == "true":
        pytest.skip("needs Chromium on the search path, and a system that lets it run")
    prerequisites.module("websockets")
    seen = list(browser.look(program))
    assert [sentence.split(",")[0].split(":")[0] for sentence in seen] == [
        "a listing",
        "a part of a file (206)",
        "server-sent events",
        "a WebSocket",
    ]


def test_without_one_the_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert browser.main() == 2
    assert capsys.readouterr().err == "There is no Chromium on the search path.\n"
