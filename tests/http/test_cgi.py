"""CGIHTTPRequestHandler: programs run for requests."""

from __future__ import annotations

import base64
import os
import pwd
import select
import signal
import socket
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest import mock

import pytest

from doorkeep.http import cgi
from doorkeep.http.cgi import CGIHTTPRequestHandler, _url_collapse_path, executable, nobody_uid
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import ForkingHTTPServer, HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.background import eventually
from tests.http.fetching import fetch

HELLO = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\nhello\\n'
"""
ENVIRONMENT = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
env
"""
ARGUMENTS = """\
#!/bin/sh
printf '\\r\\n'
for argument in "$@"; do echo "<$argument>"; done
"""
ECHO = """\
#!/bin/sh
printf '\\r\\n'
cat
"""
LONG = """\
#!/bin/sh
echo
echo $$
exec sleep 1000
"""

ServePrograms = Callable[..., Served[Any]]
Pair = tuple[socket.socket, socket.socket]

every_model = pytest.mark.parametrize(
    "server_class", [ThreadingHTTPServer, GreenHTTPServer, ThreadPoolHTTPServer, ForkingHTTPServer, HTTPServer]
)


class Handler(CGIHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def as_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs run as we do: nobody may not enter the folders of tests."""
    monkeypatch.setattr(cgi, "_unprivileged", dict)
    warnings.simplefilter("ignore", DeprecationWarning)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs = tmp_path / "cgi-bin"
    (programs / "below").mkdir(parents=True)
    for name, text in {
        "hello.sh": HELLO,
        "environment.sh": ENVIRONMENT,
        "arguments.sh": ARGUMENTS,
        "echo.sh": ECHO,
        "long.sh": LONG,
        "silent.sh": f"#!/bin/sh\necho $$ > {tmp_path}/number; exec sleep 1000\n",
        "mute.sh": f"#!/bin/sh\necho $$ > {tmp_path}/number; exec sleep 1000 >&-\n",
        "below/deep.sh": HELLO,
        "fails.sh": "#!/bin/sh\nprintf '\\r\\n'; exit 3\n",
        "no-interpreter.sh": "#!/there/is/none\n",
        "denied.sh": "#!/tmp\n",
        "plain.txt": "plain",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o644 if name == "plain.txt" else 0o755)
    (tmp_path / "file.txt").write_text("a file")
    return tmp_path


@pytest.fixture
def serve_programs(serve: Serve, folder: Path) -> ServePrograms:
    def serve_folder(
        server_class: type[HTTPServer] = ThreadingHTTPServer,
        settings: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Served[Any]:
        handler = partial(type("Configured", (Handler,), attributes), directory=folder)
        return serve(server_class, handler, **(settings or {}))

    return serve_folder


@pytest.fixture
def programs(serve_programs: ServePrograms) -> Served[Any]:
    return serve_programs()


def variables(body: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in body.decode().splitlines() if "=" in line)


@every_model
@pytest.mark.parametrize("protocol_version", ["HTTP/1.0", "HTTP/1.1"])
def test_runs_a_program(server_class: type[HTTPServer], protocol_version: str, serve_programs: ServePrograms) -> None:
    response = fetch(serve_programs(server_class, protocol_version=protocol_version), "/cgi-bin/hello.sh")
    assert (response.status, response.reason) == (200, "Script output follows")
    assert response.headers["Content-Type"] == "text/plain"
    assert response.body == b"hello\n"


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_a_body_reaches_it(server_class: type[HTTPServer], serve_programs: ServePrograms) -> None:
    body = os.urandom(300_000)
    request = b"POST /cgi-bin/echo.sh HTTP/1.0\r\nContent-Length: 300000\r\n\r\n" + body
    assert serve_programs(server_class).exchange(request).partition(b"\r\n\r\n")[2] == body


def test_a_chunked_body_reaches_it(serve_programs: ServePrograms) -> None:
    request = (
        b"POST /cgi-bin/echo.sh HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n"
    )
    answer = serve_programs(protocol_version="HTTP/1.1").exchange(request)
    assert answer.endswith(b"\r\n\r\nhello you")
    assert b"\r\nConnection: close\r\n" in answer


def test_without_a_body_nothing_is_waited_for(serve_programs: ServePrograms) -> None:
    client = serve_programs(protocol_version="HTTP/1.1").client
    client.sendall(b"GET /cgi-bin/hello.sh HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert client.makefile("rb").read().endswith(b"hello\n")


def test_head_has_no_body(programs: Served[Any]) -> None:
    answer = programs.exchange(b"HEAD /cgi-bin/hello.sh HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"Content-Type: text/plain\r\n\r\n")


@pytest.mark.parametrize(
    ("blocks", "head"),
    [
        ((b"A: b\n\nbody",), b"A: b\n\n"),
        ((b"A: b\r\n\r\nbody\n\n",), b"A: b\r\n\r\n"),
        ((b"A: b\n", b"\nbody"), b"A: b\n\n"),
        ((b"A: b\r", b"\n", b"\r", b"\nbody"), b"A: b\r\n\r\n"),
        ((b"\nbody",), b"\n"),
        ((b"A: b",), b"A: b"),
    ],
)
def test_where_the_head_ends(blocks: tuple[bytes, ...], head: bytes) -> None:
    found, before, is_over = b"", b"\n", False
    for block in blocks:
        if not is_over:
            part, before, is_over = cgi._up_to_empty_line(before, block)
            found += part
    assert found == head


def test_other_files_are_served(programs: Served[Any]) -> None:
    assert fetch(programs, "/file.txt").body == b"a file"
    refusal = fetch(programs, "/file.txt", "POST")
    assert (refusal.status, refusal.reason) == (501, "Can only POST to CGI scripts")


@pytest.mark.parametrize(
    "target",
    [
        "/cgi-bin/below/deep.sh",
        "/cgi-bin%2fhello.sh",
        "cgi-bin/hello.sh",
        "/x/../cgi-bin/./hello.sh",
        "//cgi-bin//hello.sh/",
    ],
)
def test_where_programs_are(target: str, programs: Served[Any]) -> None:
    assert programs.exchange(f"GET {target} HTTP/1.0\r\n\r\n".encode()).endswith(b"hello\n")


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("/cgi-bin/missing.sh", 404, "No such CGI script ('/cgi-bin/missing.sh')"),
        ("/cgi-bin/below", 403, "CGI script is not a plain file ('/cgi-bin/below')"),
        ("/cgi-bin/plain.txt", 403, "CGI script is not executable ('/cgi-bin/plain.txt')"),
        ("/cgi-bin/hello.sh%00", 404, r"No such CGI script ('/cgi-bin/hello.sh\x00')"),
        ("/cgi-bin/hello.sh/%00", 500, "Internal Server Error"),
        ("/cgi-bin/no-interpreter.sh", 500, "Internal Server Error"),
        ("/cgi-bin/denied.sh", 403, "Forbidden"),
        ("/../cgi-bin/hello.sh", 404, "File not found"),
        ("/..", 404, "File not found"),
        ("/%2e%2e/cgi-bin/hello.sh", 404, "File not found"),
    ],
)
def test_what_cannot_be_run(target: str, status: int, reason: str, programs: Served[Any]) -> None:
    for method in ("GET", "POST"):
        response = fetch(programs, target, method)
        assert (response.status, response.reason) == (status, reason)
        assert b"printf" not in response.body


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


@pytest.mark.parametrize(
    ("query", "arguments"), [("", "<>"), ("one+two", "<one two>"), ("one=two", ""), ("%2Dx", "<%2Dx>")]
)
def test_arguments(query: str, arguments: str, programs: Served[Any]) -> None:
    assert fetch(programs, f"/cgi-bin/arguments.sh?{query}").body.decode().strip() == arguments


def test_a_failure_is_logged(serve_programs: ServePrograms) -> None:
    log_error = mock.Mock()
    assert fetch(serve_programs(log_error=log_error), "/cgi-bin/fails.sh").status == 200
    assert eventually(lambda: log_error.call_args == mock.call("CGI script exit code 3"))


@pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
def test_output_comes_as_it_is_written_and_a_program_ends_with_its_server(
    server_class: type[HTTPServer], serve_programs: ServePrograms
) -> None:
    served = serve_programs(server_class)
    client = served.client
    client.sendall(b"GET /cgi-bin/long.sh HTTP/1.0\r\n\r\n")
    with client.makefile("rb") as answer:
        while answer.readline() not in (b"\r\n", b"\n"):
            pass
        number = int(answer.readline())
    assert process_exists(number)
    # Others are served meanwhile.
    assert fetch(served, "/cgi-bin/hello.sh").body == b"hello\n"
    os.kill(number, signal.SIGTERM)
    assert eventually(lambda: not process_exists(number))


@pytest.fixture
def process(folder: Path) -> subprocess.Popen[bytes]:
    """A program that does not end by itself."""
    with TemporaryFile() as body:
        return cgi._start(str(folder / "cgi-bin" / "long.sh"), ["long.sh"], dict(os.environ), body, False)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A connection's two ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def assert_killed(process: subprocess.Popen[bytes]) -> None:
    assert process.returncode == -signal.SIGKILL
    assert process.stdout is not None
    assert process.stdout.closed


def test_a_program_whose_client_has_gone_is_killed(process: subprocess.Popen[bytes], pair: Pair) -> None:
    with pytest.raises(BrokenPipeError), cgi._ending(process, pair[0]):
        raise BrokenPipeError
    assert_killed(process)


def test_also_while_nothing_is_sent(process: subprocess.Popen[bytes], pair: Pair) -> None:
    assert process.stdout is not None
    with pytest.raises(ConnectionAbortedError), cgi._ending(process, pair[0]):
        assert process.stdout.readline() == b"\n"
        assert process.stdout.readline() == b"%d\n" % process.pid
        pair[1].close()  # of a socket of this kind, both directions end
        cgi._read(process.stdout.fileno(), pair[0])
    assert_killed(process)


def test_also_while_the_end_is_waited_for(process: subprocess.Popen[bytes], pair: Pair) -> None:
    with pytest.raises(ConnectionAbortedError), cgi._ending(process, pair[0]):
        pair[1].close()
    assert_killed(process)


def test_a_program_that_has_ended_too_is_not_broken_off(process: subprocess.Popen[bytes], pair: Pair) -> None:
    with cgi._ending(process, pair[0]):
        pair[1].close()
        process.terminate()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process.returncode == -signal.SIGTERM


def test_without_a_kernel_that_tells_of_ends(
    process: subprocess.Popen[bytes], pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.delattr(select, "poll")
    with cgi._ending(process, pair[0]):
        assert process.stdout is not None
        assert cgi._read(process.stdout.fileno(), pair[0])
        process.terminate()
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("name", ["long.sh", "silent.sh", "mute.sh"])
@every_model
def test_a_program_ends_with_the_time_of_its_request(
    server_class: type[HTTPServer], name: str, serve_programs: ServePrograms, folder: Path
) -> None:
    """Whether it writes nothing, writes no more, or has closed its output."""
    served = serve_programs(server_class, {"request_timeout": 0.5})
    served.exchange(f"GET /cgi-bin/{name} HTTP/1.0\r\n\r\n".encode())
    number = folder / "number"
    if number.exists() and (text := number.read_text()):  # else it was ended before it could tell
        assert eventually(lambda: not process_exists(int(text)))


@every_model
def test_bodies_are_bounded(server_class: type[HTTPServer], serve_programs: ServePrograms) -> None:
    served = serve_programs(server_class, {"max_body_size": 11}, protocol_version="HTTP/1.1")
    head = b"POST /cgi-bin/echo.sh HTTP/1.1\r\nConnection: close\r\n"
    for rest in (b"Content-Length: 12\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n"):
        assert served.exchange(head + rest).startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    answer = served.exchange(head + b"Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")
    assert answer.endswith(b"hello world")


def process_exists(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return True
    return False


class TestUsers:
    @pytest.fixture(autouse=True)
    def as_ourselves(self) -> None:
        """Not in these."""

    def test_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert pwd.getpwuid(nobody_uid()).pw_name == "nobody"
        nobody_uid.cache_clear()
        monkeypatch.setattr(pwd, "getpwnam", mock.Mock(side_effect=KeyError))
        assert nobody_uid() == 1 + max(user.pw_uid for user in pwd.getpwall())
        nobody_uid.cache_clear()
        monkeypatch.setitem(sys.modules, "pwd", None)
        assert nobody_uid() == -1
        nobody_uid.cache_clear()

    @pytest.mark.parametrize(("user", "given"), [(1000, set()), (0, {"user", "group", "extra_groups"})])
    def test_root_gives_its_rights_away(self, user: int, given: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: user)
        assert set(cgi._unprivileged()) == given

    def test_a_nobody_that_is_no_user(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(cgi, "nobody_uid", lambda: 4_000_000)
        assert cgi._unprivileged() == {"user": 4_000_000, "group": 4_000_000, "extra_groups": []}


def test_without_fork_python_runs_python(monkeypatch: pytest.MonkeyPatch) -> None:
    popen = mock.Mock()
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(os, "name", "nt")
    try:
        cgi._start("C:/a.py", ["a.py", "word"], {}, mock.Mock(), True)
    finally:
        monkeypatch.undo()
    assert popen.call_args.args == ([sys.executable, "-u", "C:/a.py", "word"],)


@pytest.mark.parametrize(
    ("path", "collapsed"),
    [
        ("", "//"),
        ("a", "//a"),
        ("/a/b", "/a/b"),
        ("/a//./b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2e/b?c/../d", "//b?c/../d"),
        ("/a/.", "/a/"),
    ],
)
def test_collapsed_paths(path: str, collapsed: str) -> None:
    assert _url_collapse_path(path) == collapsed


@pytest.mark.parametrize("path", ["..", "/..", "/a/../..", "/a/../../b", "/%2e%2e/a"])
def test_a_path_that_climbs_out(path: str) -> None:
    with pytest.raises(IndexError):
        _url_collapse_path(path)


def test_executable(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o644)
    assert not executable(str(path))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert executable(str(path))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="not deprecated there")
def test_is_deprecated() -> None:
    request = mock.Mock()
    request.makefile.return_value.readline.return_value = b""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Handler(request, ("127.0.0.1", 1), mock.Mock())
    assert "http.server.CGIHTTPRequestHandler" in str(caught[0].message)
