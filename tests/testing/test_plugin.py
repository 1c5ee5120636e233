"""The pytest plugin, as it works in a project of a user."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

# By its own name where doorkeep is installed, so that pytest does not load it twice.
PLUGIN = "doorkeep" if entry_points(group="pytest11", name="doorkeep") else "doorkeep.testing.plugin"
HANDLER = """
import threading
from doorkeep import StreamRequestHandler, ThreadingTCPServer, ThreadPoolTCPServer

class Greeter(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"hello " + self.rfile.readline())
"""


@pytest.fixture
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.Pytester:
    """Return a folder for an inner test run with the plugin."""
    pytester.plugins = [PLUGIN]
    return pytester


def test_serves_until_the_test_is_over(run: pytest.Pytester) -> None:
    run.makepyfile(f"""{HANDLER}
servers = []

def test_serves(serve):
    one = serve(ThreadingTCPServer, Greeter)
    other = serve(ThreadPoolTCPServer, Greeter, pool_size=2)
    assert one.exchange(b"you") == other.exchange(b"you") == b"hello you"
    servers.extend([one.server, other.server])

def test_has_ended_by_now():
    assert [server.fileno() for server in servers] == [-1, -1]
""")
    run.runpytest_subprocess().assert_outcomes(passed=2)


def test_a_test_that_leaks_fails(run: pytest.Pytester) -> None:
    run.makepyfile(f"""{HANDLER}
def test_leaks(serve):
    serve(ThreadingTCPServer, Greeter)
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()
""")
    result = run.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*LeakError: left behind after 2 seconds: thread forgotten")


def test_a_failed_test_is_not_blamed_for_leaks_too(run: pytest.Pytester) -> None:
    run.makepyfile(f"""{HANDLER}
def test_fails(serve):
    serve(ThreadingTCPServer, Greeter)
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()
    raise LookupError
""")
    result = run.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*LeakError*")


def test_shows_the_fixture_with_what_it_does(run: pytest.Pytester) -> None:
    run.runpytest_subprocess("--fixtures").stdout.fnmatch_lines(["serve*", "*Serve until the test is over*"])


def test_costs_a_test_run_no_heavy_import() -> None:
    program = "import sys, doorkeep.testing.plugin; print(*sys.modules)"
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "ssl", "http.client", "multiprocessing", "limits", "hypothesis"}
    assert not heavy & set(listed.stdout.split())
