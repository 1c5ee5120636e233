"""What the command says of itself, and of what it cannot do: one sentence, status 2, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

import doorkeep
from tests.operate import commands
from tests.operate.commands import python

NO_ADDRESS = "write tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME or unixgram:PATH"
PROGRAM = """\
from socketserver import BaseRequestHandler, DatagramRequestHandler, TCPServer

class Handler(BaseRequestHandler):
    pass

class Datagrams(DatagramRequestHandler):
    pass

class Server(TCPServer):
    pass

class Lonely:
    pass

constant = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules to name on the command line, and certificates."""
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "broken.py").write_text("import json\n\nratio = 1 / 0\n")
    (tmp_path / "garbled.py").write_text("def\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('no')\n")
    (tmp_path / "needy.py").write_text("import there_is_no_such_module\n")
    authority = trustme.CA()
    for name in ("mine", "yours"):
        certificate = authority.issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "doorkeep: name a command: serve, http, wsgi, adopt, settings or info; doorkeep --help tells more"),
        ("sevre", "doorkeep: command: invalid choice: 'sevre'"),
        ("serve --idle-timeot 5", "there is no option --idle-timeot; did you mean --idle-timeout?"),
        ("serve --zzz", "doorkeep serve: there is no option --zzz"),
        ("serve app:Handler other:Handler", "there is one argument too many: 'other:Handler'"),
        ("serve --idle-timeout", "doorkeep serve: --idle-timeout: expected one argument"),
        ("serve --idle-timeout x", "--idle-timeout: must be a number of seconds, or None, not 'x'"),
        ("serve --idle-timeout 0", "--idle-timeout: must be seconds above 0"),
        ("serve --pool-size none", "--pool-size: must be a whole number, not 'none'"),
        ("serve --at-limit drop", "--at-limit: must be 'wait' or 'close', not 'drop'"),
        ("serve --allow 10.0.0.1/8", "--allow: must be networks such as"),
        ("serve --socket-mode 999", "--socket-mode: must be an octal file mode such as 660"),
        ("serve --bind 127.0.0.1:80", f"--bind: '127.0.0.1:80' is no address: {NO_ADDRESS}"),
        ("serve --bind tcp://localhost", "--bind: 'tcp://localhost' is no address: write tcp://HOST:PORT"),
        ("serve --bind tcp://localhost:70000", "is no address: port out of range"),
        ("serve --concurrency fibre", "'fibre' is no concurrency model: choose thread, pool, green, async"),
        ("serve --concurrency pool:0", "must be a whole number from 1 upwards, not '0'"),
        ("serve --concurrency sync:2", "sync takes no number"),
        ("serve --log-level loud", "--log-level: invalid choice: 'loud'"),
        # Settings against each other, and against the servers.
        ("serve --at-limit close", "--at-limit says nothing without --max-connections"),
        ("serve --rate-limit-storage memory://", "--rate-limit-storage says nothing without --rate-limit"),
        ("serve --concurrency pool:2 --pool-size 3", "--concurrency pool:2 and --pool-size both say how many"),
        ("serve --tls-key mine.key", "tls_key, tls_client_ca and tls_alpn need tls_certificate"),
        ("serve --max-packet-size 9", "--max-packet-size means nothing at tcp://127.0.0.1:9999 with thread"),
        ("serve --max-children 9", "--max-children means nothing at tcp://127.0.0.1:9999 with thread"),
        ("serve --socket-mode 600", "--socket-mode means nothing at tcp://127.0.0.1:9999"),
        (
            "serve --bind tcp://127.0.0.1:0 --bind udp://127.0.0.1:0 --idle-timeout 5",
            "--idle-timeout means nothing at udp://127.0.0.1:0 with thread",
        ),
        # Certificates.
        ("serve --tls-certificate nowhere.pem", "cannot read nowhere.pem: No such file or directory"),
        ("serve --tls-certificate mine.pem --tls-key .", "cannot read .: Is a directory"),
        (
            "serve --tls-certificate mine.pem --tls-key yours.key",
            "the private key in yours.key does not belong to the certificate in mine.pem",
        ),
        ("serve --tls-certificate app.py", "app.py holds no certificate"),
        # Handlers.
        ("serve app", "'app' names no handler: write package.module:Handler"),
        ("serve nowhere:Handler", "there is no module 'nowhere'"),
        ("serve app.inner:Handler", "there is no module 'app.inner'"),
        ("serve app.py:Handler", "there is no module 'app.py'; for the file app.py write app"),
        ("serve needy:Handler", "module 'needy' cannot be imported: ModuleNotFoundError: No module named 'there_is"),
        ("serve broken:Handler", "module 'broken' cannot be imported: ZeroDivisionError: division by zero ("),
        ("serve garbled:Handler", "module 'garbled' cannot be imported: SyntaxError: "),
        ("serve leaves:Handler", "module 'leaves' cannot be imported: SystemExit: no ("),
        ("serve app:Handlr", "module 'app' has no 'Handlr'; did you mean 'Handler'?"),
        (
            "serve app:constant",
            "app:constant is no handler: it cannot be called with (request, client_address, server)",
        ),
        ("serve app:Lonely", "app:Lonely is no handler"),
        ("serve app:Server", "app:Server is a server class: name its handler class"),
        ("serve app:Datagrams", "app:Datagrams is a DatagramRequestHandler, but connections arrive at tcp://"),
        # Programs.
        ("adopt", "doorkeep adopt: name the program to run: a script, or -m and a module"),
        ("adopt -m", "doorkeep adopt: name the program to run"),
        ("adopt nowhere.py", "doorkeep adopt: cannot run nowhere.py: No such file or directory"),
        ("adopt .", "doorkeep adopt: the folder . has no __main__.py to run"),
        ("adopt -m nowhere", "doorkeep adopt: there is no module 'nowhere' that can be run"),
        ("adopt -m app.inner", "doorkeep adopt: there is no module 'app.inner' that can be run"),
        ("adopt -m json", "doorkeep adopt: there is no module 'json' that can be run"),
        ("adopt -m .app", "doorkeep adopt: there is no module '.app' that can be run"),
        ("adopt --concurrency fibre app.py", "'fibre' is no concurrency model"),
        ("adopt --concurency pool app.py", "there is no option --concurency; did you mean --concurrency?"),
    ],
)
def test_refuses_in_a_sentence(arguments: str, sentence: str, folder: Path) -> None:
    refusal = commands.doorkeep(*arguments.split(), cwd=folder)
    assert sentence in refusal.stderr
    assert refusal.stderr.count("\n") == 1
    assert refusal.stdout == ""
    assert refusal.returncode == 2


def test_names_the_line_at_which_an_import_fails(folder: Path) -> None:
    assert f"({folder / 'broken.py'}, line 3)" in commands.doorkeep("serve", "broken:Handler", cwd=folder).stderr


def test_refuses_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        refusal = commands.doorkeep("serve", "--bind", url)
    assert refusal.stderr == f"doorkeep serve: cannot listen at {url}: Address already in use\n"
    assert refusal.returncode == 2


def test_refuses_a_datagram_port_in_use() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        refusal = commands.doorkeep("serve", "--bind", f"udp://127.0.0.1:{taken.getsockname()[1]}")
    assert "Address already in use" in refusal.stderr
    assert refusal.returncode == 2


def test_refuses_a_privileged_port_without_privileges() -> None:
    unprivileged = """
import errno, os, socket
from doorkeep.operate.command import main

def bind(self, address):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

socket.socket.bind = bind
main(["serve", "--bind", "tcp://127.0.0.1:80"])
"""
    refusal = python("-c", unprivileged)
    assert refusal.stderr == (
        "doorkeep serve: cannot listen at tcp://127.0.0.1:80: Permission denied; "
        "ports below 1024 are for privileged users\n"
    )
    assert refusal.returncode == 2


@pytest.mark.parametrize("path", ["folder/that/is/not/there", "x" * 200])
def test_refuses_a_socket_path_that_cannot_be(path: str, tmp_path: Path) -> None:
    refusal = commands.doorkeep("serve", "--bind", f"unix:{path}", cwd=tmp_path)
    assert refusal.stderr.startswith(f"doorkeep serve: cannot listen at unix:{path}: ")
    assert refusal.stderr.count("\n") == 1
    assert refusal.returncode == 2


def test_version() -> None:
    assert commands.doorkeep("--version").stdout == f"doorkeep {doorkeep.__version__}\n"


def test_info() -> None:
    told = commands.doorkeep("info").stdout
    assert f"doorkeep      {doorkeep.__version__}\n" in told
    assert "fork          yes\n" in told
    assert "HTTP          compiled, httptools " in told or "HTTP          Python, httptools " in told


def test_settings() -> None:
    told = commands.doorkeep("settings").stdout
    assert "idle_timeout\n    how long a connection may go without a byte" in told
    assert "| `idle_timeout` | seconds | None |" in commands.doorkeep("settings", "--markdown").stdout


def test_help() -> None:
    told = commands.doorkeep("serve", "--help")
    assert "--max-connections COUNT" in told.stdout
    assert told.returncode == 0


@pytest.mark.parametrize("command", ["settings", "info"])
def test_who_has_seen_enough_may_leave(command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-m", "doorkeep", command], stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
