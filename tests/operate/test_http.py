"""`doorkeep http` and `python -m doorkeep.http.server`, run as people run them."""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
import trustme
from trustme import CA

from doorkeep.http.cgi import nobody_uid
from doorkeep.operate.command import http_server
from tests import prerequisites
from tests.operate import commands
from tests.operate.commands import RunningCommand, running

LOCAL = ("--bind", "127.0.0.1")
CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "page.html").write_text("<p>page</p>")
    (folder / "page.html.gz").write_bytes(b"compressed")
    (folder / "large.bin").write_bytes(CONTENT)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))  # what was changed just now is not told apart by its tag
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to("../secret")
    return folder


@contextmanager
def serving(*arguments: str, module: str = "doorkeep", cwd: Path | None = None) -> Iterator[tuple[RunningCommand, str]]:
    """Run a command, and yield it with the URL that it prints."""
    with running(*arguments, cwd=cwd, module=module) as command:
        yield command, command.wait_for_line(r"^Serving HTTPS? on \S+ port \d+ \((\S+)\) \.\.\.$")[1]


def fetch(url: str, target: str = "/", host: str | None = "x", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    found = re.fullmatch(r"http://(.+):(\d+)/", url)
    assert found is not None
    with closing(http.client.HTTPConnection(found[1].strip("[]"), int(found[2]), timeout=50)) as connection:
        connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, **({"Host": host} if host else {})}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read(), dict(response.headers)


def end(command: RunningCommand, number: int = signal.SIGTERM) -> None:
    command.send_signal(number)
    assert command.wait() == 0


class TestServing:
    def test_a_directory(self, folder: Path) -> None:
        with serving("http", str(folder), "0", *LOCAL) as (command, url):
            status, page, headers = fetch(url, "/page.html")
            assert (status, page) == (200, b"<p>page</p>")
            assert headers["Content-type"] == "text/html; charset=utf-8"
            assert fetch(url, "/page.html", Accept_Encoding="gzip")[1] == b"compressed"
            assert b">page.html<" in fetch(url)[1]
            assert fetch(url, "/out")[0] == 404
            assert fetch(url, host=None)[0] == 400
            end(command)

    @pytest.mark.parametrize("arguments", ["site --bind 127.0.0.1 0", "--bind 127.0.0.1 site 0", "0 -b 127.0.0.1 site"])
    def test_options_may_stand_between(self, arguments: str, folder: Path) -> None:
        with running("http", *arguments.split(), cwd=folder.parent) as command:
            command.wait_for_line(r"^Serving HTTP on 127\.0\.0\.1 port [1-9]")

    def test_the_current_one_by_default(self, folder: Path) -> None:
        with serving("http", "0", *LOCAL, cwd=folder) as (command, url):
            assert fetch(url, "/page.html")[1] == b"<p>page</p>"
            end(command)

    def test_the_standard_command(self, folder: Path) -> None:
        arguments = ("0", *LOCAL, "--directory", str(folder))
        with serving(*arguments, module="doorkeep.http.server") as (command, url):
            status, page, headers = fetch(url, "/page.html", host=None, Accept_Encoding="gzip")
            assert (status, page, headers["Content-type"]) == (200, b"<p>page</p>", "text/html")
            assert fetch(url, "/out")[1] == b"secret"
            end(command)

    @pytest.mark.parametrize("module", ["doorkeep", "doorkeep.http.server"])
    def test_ctrl_c(self, module: str, folder: Path) -> None:
        subcommand = ("http",) if module == "doorkeep" else ()
        with serving(*subcommand, "0", *LOCAL, cwd=folder, module=module) as (command, _):
            command.send_signal(signal.SIGINT)
            command.wait_for_line("^Keyboard interrupt received, exiting.$")
            assert command.wait() == 0

    def test_requests_are_logged(self, folder: Path) -> None:
        with serving("http", str(folder), "0", *LOCAL) as (command, url):
            fetch(url, "/page.html")
            command.wait_for_log(r'^127\.0\.0\.1 - - \[.*\] "GET /page.html HTTP/1.1" 200 -$')
            end(command)

    def test_options_of_the_handler(self, folder: Path) -> None:
        options = "--follow-links --no-precompressed --charset none --protocol HTTP/1.0 -H X-One 1 --header X-Two 2"
        with serving("http", str(folder), "0", *LOCAL, *options.split()) as (command, url):
            assert fetch(url, "/out")[1] == b"secret"
            status, page, headers = fetch(url, "/page.html", Accept_Encoding="gzip")
            assert (status, page, headers["Content-type"]) == (200, b"<p>page</p>", "text/html")
            assert (headers["X-One"], headers["X-Two"]) == ("1", "2")
            end(command)

    @pytest.mark.parametrize("concurrency", ["thread", "pool:2", "green:5", "fork", "sync"])
    def test_concurrency(self, concurrency: str, folder: Path) -> None:
        with serving("http", str(folder), "0", *LOCAL, "--concurrency", concurrency) as (command, url):
            assert fetch(url, "/large.bin")[1] == CONTENT
            end(command)

    def test_settings_of_the_server(self, folder: Path) -> None:
        options = ("--no-host-required", "--deny", "127.0.0.2", "--access-log", "combined")
        with serving("http", str(folder), "0", *LOCAL, *options) as (command, url):
            assert fetch(url, "/page.html", host=None)[0] == 200
            end(command)

    def test_programs(self) -> None:
        # In a folder that nobody may enter too, who runs them where the server is root's.
        with TemporaryDirectory() as place:
            program = Path(place, "cgi-bin", "hello.sh")
            program.parent.mkdir()
            program.write_text("#!/bin/sh\nprintf '\\n'; id -u\n")
            for path in (Path(place), program.parent, program):
                path.chmod(0o755)
            with serving("http", place, "0", *LOCAL, "--cgi") as (command, url):
                user = nobody_uid() if os.geteuid() == 0 else os.geteuid()
                assert fetch(url, "/cgi-bin/hello.sh")[:2] == (200, b"%d\n" % user)
                end(command)

    def test_ipv6(self, folder: Path) -> None:
        with serving("http", str(folder), "0", "-b", "::1") as (command, url):
            assert url.startswith("http://[::1]:")
            assert fetch(url, "/page.html")[1] == b"<p>page</p>"
            end(command)


class TestTLS:
    @pytest.fixture
    def authority(self, folder: Path) -> CA:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        return authority

    def page(self, url: str, context: ssl.SSLContext) -> bytes:
        port = int(url.rstrip("/").rpartition(":")[2])
        with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=50, context=context)) as connection:
            connection.request("GET", "/page.html")
            return connection.getresponse().read()

    @pytest.mark.parametrize(
        "options", ["--tls-cert both.pem", "--tls-cert certificate.pem --tls-key key.pem", "--tls-certificate both.pem"]
    )
    @pytest.mark.parametrize("module", ["doorkeep", "doorkeep.http.server"])
    def test_a_certificate(self, options: str, module: str, authority: CA, folder: Path) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        subcommand = ("http",) if module == "doorkeep" else ()
        arguments = (*subcommand, "0", *LOCAL, *options.split())
        with serving(*arguments, cwd=folder, module=module) as (command, url):
            assert url.startswith("https://")
            assert self.page(url, context) == b"<p>page</p>"
            end(command)

    def test_a_key_with_a_passphrase(self, authority: CA, folder: Path) -> None:
        openssl = prerequisites.command("openssl")
        (folder / "password").write_text("open sesame\n")
        subprocess.run(
            [openssl, "pkey", "-in", "key.pem", "-aes256", "-passout", "file:password", "-out", "locked.pem"],
            cwd=folder,
            check=True,
            timeout=50,
        )
        context = ssl.create_default_context()
        authority.configure_trust(context)
        options = "--tls-cert certificate.pem --tls-key locked.pem --tls-password-file password"
        with serving("http", "0", *LOCAL, *options.split(), cwd=folder) as (command, url):
            assert self.page(url, context) == b"<p>page</p>"
            end(command)

    def test_self_signed(self, folder: Path) -> None:
        prerequisites.command("openssl")
        with running("http", str(folder), "0", *LOCAL, "--tls-self-signed") as command:
            told = command.wait_for_line(r"SHA-256 fingerprint is ([0-9a-f:]{95})$")[1]
            url = command.wait_for_line(r"^Serving HTTPS on \S+ port \d+ \((\S+)\) \.\.\.$")[1]
            port = int(url.rstrip("/").rpartition(":")[2])
            presented = ssl.get_server_certificate(("127.0.0.1", port), timeout=50)
            (folder / "presented.pem").write_text(presented)
            context = ssl.create_default_context(cafile=folder / "presented.pem")
            assert self.page(url, context) == b"<p>page</p>"  # for the address that was asked for
            assert told.count(":") == 31
            end(command)


class TestClients:
    @pytest.fixture
    def url(self, folder: Path) -> Iterator[str]:
        with serving("http", str(folder), "0", *LOCAL) as (command, url):
            yield url
            end(command)

    def run(self, *arguments: str, cwd: Path) -> bytes:
        program, *rest = arguments
        return subprocess.run(
            [prerequisites.command(program), *rest], cwd=cwd, capture_output=True, check=True, timeout=50
        ).stdout

    def test_curl(self, url: str, tmp_path: Path) -> None:
        assert self.run("curl", "--silent", "--fail", f"{url}large.bin", cwd=tmp_path) == CONTENT
        assert self.run("curl", "--silent", "-r", "256-511", f"{url}large.bin", cwd=tmp_path) == CONTENT[256:512]
        several = self.run("curl", "--silent", "-r", "0-1,5-6", f"{url}large.bin", cwd=tmp_path)
        assert several.count(b"Content-Range: bytes") == 2

    def test_curl_resumes(self, url: str, tmp_path: Path) -> None:
        part = tmp_path / "part"
        for length in (0, 1, 100_000, len(CONTENT) - 1):
            part.write_bytes(CONTENT[:length])
            self.run("curl", "--silent", "--fail", "-C", "-", "-o", "part", f"{url}large.bin", cwd=tmp_path)
            assert part.read_bytes() == CONTENT

    def test_curl_asks_for_what_is_newer(self, url: str, tmp_path: Path) -> None:
        status = ("--silent", "-o", "got", "-w", "%{http_code}")
        etag = ("--etag-save", "etag", "--etag-compare", "etag")
        assert self.run("curl", *status, *etag, f"{url}page.html", cwd=tmp_path) == b"200"
        assert self.run("curl", *status, *etag, f"{url}page.html", cwd=tmp_path) == b"304"
        self.run("curl", "--silent", "-R", "-o", "dated", f"{url}page.html", cwd=tmp_path)
        assert self.run("curl", *status, "-z", "dated", f"{url}page.html", cwd=tmp_path) == b"304"

    def test_wget_resumes_and_mirrors(self, url: str, tmp_path: Path, folder: Path) -> None:
        (tmp_path / "large.bin").write_bytes(CONTENT[:1000])
        self.run("wget", "--quiet", "--continue", f"{url}large.bin", cwd=tmp_path)
        assert (tmp_path / "large.bin").read_bytes() == CONTENT
        (folder / "sub dir").mkdir()
        (folder / "sub dir" / "file & more").write_text("deep")
        self.run("wget", "--quiet", "--recursive", "--no-parent", "--no-host-directories", url, cwd=tmp_path)
        assert (tmp_path / "sub dir" / "file & more").read_text() == "deep"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("missing", "there is no directory 'missing'"),
        ("page.html", "'page.html' is a file, and a directory is what can be served"),
        ("one two", "there is one directory too many: 'two'; the port is a whole number"),
        ("one --directory two", "there is one directory too many: 'two'"),
        ("8000 9000", "there is one port too many: '9000'"),
        ("65536", "a port is a number up to 65535, not 65536"),
        ("0 --bind no.such.host.invalid", "'no.such.host.invalid' is no address to listen at: "),
        ("0 --bind 192.0.2.1", "cannot listen on 192.0.2.1 port 0: "),
        ("0 --bind " + "x" * 64, "is no address to listen at: "),
        ("--protocol HTTP/2", "--protocol must be HTTP/1.0 or HTTP/1.1, not 'HTTP/2'"),
        ("--concurrency fibre", "'fibre' is no concurrency model"),
        ("--concurrency async", "async runs coroutines"),
        (
            "--concurrency thread:5 --max-connections 6",
            "--concurrency thread:5 and --max-connections both say how many",
        ),
        ("--concurrency thread --max-children 6", "--max-children means nothing with thread"),
        ("--at-limit close", "--at-limit says nothing without --max-connections"),
        ("--socket-mode 660", "--socket-mode is for Unix sockets, and this serves a port"),
        ("--max-body-size 1M", "--max-body-size: must be a whole number of bytes, or None, not '1M'"),
        ("--max-body-size -1", "must be a whole number of bytes from 0 to 9223372036854775807, or None, not '-1'"),
        ("--charset utf-8;x", "--charset must be the name of a charset, such as utf-8, or none, not 'utf-8;x'"),
        ("-H Content-Length 5", "--header cannot set Content-Length, which says where each answer ends"),
        ("-H transfer-Encoding x", "--header cannot set transfer-Encoding, which says where each answer ends"),
        ("-H X: value", "--header needs the name of a header, such as Cache-Control, not 'X:'"),
        ("--idle-timeout x", "must be a number of seconds, or None, not 'x'"),
        ("--idle-timeot 5", "there is no option --idle-timeot; did you mean --idle-timeout?"),
        ("--tls-key key.pem", "--tls-key says nothing without --tls-cert"),
        ("--tls-password-file password", "--tls-password-file says nothing without --tls-cert"),
        ("--tls-cert missing.pem", "missing.pem"),
        (
            "--tls-cert page.html --tls-password-file missing",
            "the file missing cannot be read: No such file or directory\n",
        ),
        ("--tls-cert page.html --tls-password-file large.bin", "large.bin cannot be read: it is no text in UTF-8\n"),
        ("--tls-cert page.html --tls-password-file page.html", "cannot be used with that key and passphrase: "),
        ("--tls-cert page.html --tls-self-signed", "give either --tls-self-signed or --tls-cert"),
        ("--tls-client-ca page.html", "need tls_certificate"),
        ("-H X-Name caf\u00e9", "--header must be printable ASCII, not 'caf\u00e9'"),
    ],
)
def test_refuses_in_a_sentence(arguments: str, sentence: str, folder: Path) -> None:
    refusal = commands.doorkeep("http", *arguments.split(), cwd=folder)
    assert refusal.stderr.startswith("doorkeep http: ")
    assert sentence in refusal.stderr
    assert refusal.stderr.count("\n") == 1
    assert (refusal.returncode, refusal.stdout) == (2, "")


def test_a_port_that_is_taken(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = commands.doorkeep("http", str(port), *LOCAL, cwd=folder)
    assert refusal.stderr == f"doorkeep http: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_a_port_for_privileged_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr(socket.socket, "bind", denied)
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as told:
        http_server([str(folder), "80", *LOCAL])
    reason = "Permission denied; ports below 1024 are for privileged users"
    assert told.getvalue().endswith(f": cannot listen on 127.0.0.1 port 80: {reason}\n")


def test_a_current_directory_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", mock.Mock(side_effect=FileNotFoundError))
    with pytest.raises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as told:
        http_server(["0", *LOCAL])
    assert told.getvalue().endswith(": the current directory is no longer there\n")


def test_the_standard_command_refuses_in_a_sentence(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as refusal:
        http_server(["eighty"])
    assert refusal.value.code == 2
    told = "python -m doorkeep.http.server: there is no directory 'eighty'; the port is a whole number\n"
    assert capsys.readouterr().err == told


def test_help_names_the_options_of_the_standard_module(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        http_server(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    options = "--bind -b --directory -d --protocol -p --cgi --tls-cert --tls-key --tls-password-file --header -H"
    assert [option for option in options.split() if not re.search(rf"{option}\b", told)] == []
