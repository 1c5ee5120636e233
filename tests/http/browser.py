"""See what a browser makes of our servers: a listing, parts of files, server-sent events and WebSockets.

    python -m tests.http.browser

starts `doorkeep http` and the examples `web_clock.py` and `web_chat.py`, has Chromium, without a window, do what a
reader would, and says what it saw. Fails where that is not what it should be.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.background import eventually
from tests.examples.programs import Program
from tests.operate.commands import running

# Without a sandbox, as it serves nobody and may be run by root; each pipe and port is its own.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
DIGITS = "0123456789"


def chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class NotNow(Exception):
    """The browser refuses, as it does while it goes from one page to the next."""


class Page:
    """A page that the browser shows; it is spoken to by the protocol of the developer tools."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self._refusal = ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        assert "errorText" not in self._call("Page.navigate", url=url)
        self.wait_for(f"location.href == {json.dumps(url)} && document.readyState == 'complete'")

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to; if that is a promise, what becomes of it."""
        found = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true, and return what it comes to."""
        found: list[Any] = [None]

        def is_true() -> bool:
            try:
                found[0] = self.evaluate(expression)
            except NotNow as error:
                found[0] = ""
                self._refusal = str(error)
            return bool(found[0])

        assert eventually(is_true), f"{expression} stays {found[0]!r} {self._refusal}"
        return found[0]

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while (answer := json.loads(self._connection.recv(timeout=30))).get("id") != number:
            pass  # an event
        if "error" in answer:
            raise NotNow(answer["error"]["message"])
        return answer["result"]


@contextmanager
def browser(program: str) -> Iterator[Callable[[], Page]]:
    """Run the browser while the block lasts; yield what opens a page."""
    from websockets.sync.client import connect

    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                found = (re.search(r"listening on (ws://\S+)", line) for line in process.stderr)
                address = next(match[1] for match in found if match)
                with connect(address, max_size=None) as connection:
                    yield lambda: Page(connection)
                    connection.send(json.dumps({"id": 0, "method": "Browser.close"}))
                    process.stderr.read()  # it ends in order, and its children with it
            finally:
                process.kill()


# -- What it looks at ----------------------------------------------------------------------------------------------


def see_listing(page: Page, url: str) -> str:
    """Look at a directory, sort it, and follow a link."""
    names = "[...document.querySelectorAll('td a')].map(link => link.textContent)"
    page.open(url)
    assert page.evaluate("document.title") == "Directory listing for /"
    assert page.evaluate(names) == ["sub/", "<b> & ü.txt", "digits.txt"]
    page.evaluate("[...document.querySelectorAll('th a')].find(link => /size/i.test(link.textContent)).click()")
    page.wait_for("location.search == '?sort=size' && document.readyState == 'complete'")
    assert page.evaluate(names) == ["sub/", "digits.txt", "<b> & ü.txt"]
    page.evaluate("[...document.querySelectorAll('td a')].find(link => /^<b>/.test(link.textContent)).click()")
    page.wait_for("location.pathname.endsWith('.txt') && document.readyState == 'complete'")
    assert page.evaluate("document.body.textContent") == "grüße " * 10
    return "a listing, sorted by a click, and a file with a strange name that it links to"


def see_ranges(page: Page, url: str) -> str:
    """Fetch a part of a file, and the file again if it has changed."""
    page.open(url)
    part = """
        fetch("digits.txt", {headers: {Range: "bytes=2-4"}}).then(async answer =>
            [answer.status, answer.headers.get("Content-Range"), await answer.text()])
    """
    assert page.evaluate(part) == [206, "bytes 2-4/10", DIGITS[2:5]]
    again = """
        fetch("digits.txt").then(answer => answer.headers.get("ETag")).then(tag =>
            fetch("digits.txt", {headers: {"If-None-Match": tag}, cache: "no-store"})).then(answer => answer.status)
    """
    status = page.evaluate(again)
    assert status == 304, status
    return "a part of a file (206), and that the whole has not changed (304)"


def see_events(page: Page, url: str) -> str:
    """Watch the clock until it has ticked."""
    page.open(url)
    shown = "document.querySelector('time').textContent"
    first = page.wait_for(f"{shown}.startsWith('-') ? '' : {shown}")
    second = page.wait_for(f"{shown} == {json.dumps(first)} ? '' : {shown}")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", second)
    return f"server-sent events: {first}, then {second}"


def see_websocket(page: Page, other: Page, url: str) -> str:
    """Have two members of the chat talk."""
    lines = "[...document.querySelectorAll('#lines div')].map(line => line.textContent)"
    for member, name in ((page, "ann"), (other, "bob")):
        member.open(url)
        member.wait_for("socket.readyState == WebSocket.OPEN")
        _say(member, name)
        member.wait_for(f"{lines}.includes('* {name} is here')")
    _say(other, "Grüße")
    assert page.wait_for(f"{lines}.includes('bob: Grüße') && {lines}") == [
        "bob: Grüße",
        "* bob is here",
        "* ann is here",
    ]
    return "a WebSocket: what one member of the chat says, the other reads"


def _say(page: Page, line: str) -> None:
    page.evaluate(f"input.value = {json.dumps(line)}; document.querySelector('form').requestSubmit()")


def look(program: str) -> Iterator[str]:
    """Have the browser look at all; yield what it saw, bit by bit."""
    with tempfile.TemporaryDirectory(prefix="browsed-") as name:
        folder = Path(name)
        (folder / "sub").mkdir()
        (folder / "digits.txt").write_text(DIGITS)
        os.utime(folder / "digits.txt", (1e9, 1e9))  # what has just changed may change again without a sign
        (folder / "<b> & ü.txt").write_text("grüße " * 10, encoding="utf-8")
        with (
            running("http", name, "0", "--bind", "127.0.0.1") as files,
            Program("web_clock.py", "--port", 0) as clock,
            Program("web_chat.py", "--port", 0) as chat,
            browser(program) as open_page,
        ):
            url = files.wait_for_line(r"\((http://\S+)\)")[1]
            page = open_page()
            yield see_listing(page, url)
            yield see_ranges(page, url)
            yield see_events(page, f"http://127.0.0.1:{clock.port()}/")
            yield see_websocket(page, open_page(), f"http://127.0.0.1:{chat.port()}/")


def main() -> int:
    """Say what a browser sees; return the exit status."""
    program = chromium()
    if program is None:
        print("There is no Chromium on the search path.", file=sys.stderr)
        return 2
    for seen in look(program):
        print(f"It saw {seen}.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
