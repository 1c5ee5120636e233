"""The runner of pages notices a page that is wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.pages import run_blocks
from tests.docs.terminal import commands_of, shows

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a page of these lines, in which `~~~` stands for a fence."""
    monkeypatch.chdir(tmp_path)

    def run(*lines: str) -> None:
        page = tmp_path / "page.md"
        page.write_text("\n".join(lines).replace("~~~", "```"), encoding="utf-8")
        run_blocks(page, tmp_path)

    return run


def test_blocks_share_a_namespace(run: Run) -> None:
    run("~~~python", "a = 1", "~~~", "text", "~~~pycon", ">>> a += 1", "~~~", "  ~~~python", "  assert a == 2", "  ~~~")


def test_a_failure_names_the_line_of_the_page(run: Run) -> None:
    with pytest.raises(AssertionError) as caught:
        run("text", "~~~python", "pass", "assert False", "~~~")
    place = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (Path(place.filename).name, place.lineno) == ("page.md", 4)


def test_output_of_python_is_compared(run: Run) -> None:
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run("~~~pycon", ">>> 1 + 1", "3", "~~~")


def test_output_of_commands_is_compared(run: Run) -> None:
    run("~~~console", "$ echo one; echo two", "o...", "two", "$ echo unseen", "~~~")
    with pytest.raises(AssertionError, match=r"page\.md:1: echo one prints\none"):
        run("~~~console", "$ echo one", "two", "~~~")


def test_a_failure_of_a_command_must_be_shown(run: Run) -> None:
    run("~~~console", "$ echo no; exit 2", "no", "$ echo $?", "2", "~~~")
    with pytest.raises(AssertionError, match=r"page\.md:1: exit 2 fails, and the page does not say so"):
        run("~~~console", "$ exit 2", "~~~")


def test_files_are_there_for_commands_of_this_python(run: Run) -> None:
    run('~~~python title="greet.py"', "print('hello')", "~~~", "~~~console", "$ python greet.py", "hello", "~~~")
    with pytest.raises(AssertionError, match="nobody uses it"):
        run('~~~python title="unused.py"', "pass", "~~~")


SERVER = """
import socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b"served"); print("once")
with socketserver.TCPServer(("127.0.0.1", 9999), Handler) as server:
    print("port", server.server_address[1])
    try: server.serve_forever()
    except KeyboardInterrupt: print("bye"); sys.exit(STATUS)
"""
IN_ITS_OWN = '~~~console title="in a terminal of its own"'


@pytest.mark.parametrize(
    ("status", "last_line", "failure"),
    [(0, "bye", None), (0, "hello", "prints\nbye"), (3, "bye", "ends with status 3")],
)
def test_a_server_runs_beside_until_ctrl_c(run: Run, status: int, last_line: str, failure: str | None) -> None:
    lines = [
        *('~~~python title="server.py"', SERVER.replace("STATUS", str(status)), "~~~"),
        *(IN_ITS_OWN, "$ python server.py", "port 9999", "once", "^C", last_line, "~~~"),
        *("~~~console", "$ python -c 'import socket; print(socket.create_connection((\"127.0.0.1\", 9999)).recv(9))'"),
        *("b'served'", "~~~"),
    ]
    if failure is None:
        run(*lines)
    else:
        with pytest.raises(AssertionError, match=failure):
            run(*lines)


def test_unknown_languages_and_open_blocks_are_refused(run: Run) -> None:
    with pytest.raises(AssertionError, match="what language is 'pyhton'"):
        run("~~~pyhton", "1 / 0", "~~~")
    with pytest.raises(ValueError, match="does not end"):
        run("~~~python", "pass")


def test_a_block_that_is_not_run_keeps_its_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```console title="a" not_run="needs a network"\n$ false\n```\n', encoding="utf-8")
    run_blocks(page, tmp_path)
    assert blocks_of(page)[0].attributes == {"title": "a", "not_run": "needs a network"}


def test_commands_may_take_several_lines() -> None:
    (command,) = commands_of("$ echo \\\n  one\none\n")
    assert (command.text, command.output) == ("echo \\\n  one", ["one"])
    with pytest.raises(ValueError, match="begins with a command"):
        commands_of("one\n")


def test_dots_stand_for_any_text_and_nothing_else_does() -> None:
    assert shows(["a ... z", "..."], "a b z\nany\nlines\n")
    assert not shows(["a.z"], "abz")
    assert not shows(["a"], "a\nb")
