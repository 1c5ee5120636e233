"""How programs end: by themselves, with their client, or with the time of their request."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from doorkeep.http import cgi
from doorkeep.http.servers import HTTPServer
from tests.background import eventually
from tests.connection.pairs import Pair
from tests.http.cgi.serving import ServePrograms
from tests.http.models import on_every_server


@pytest.fixture
def process(folder: Path) -> subprocess.Popen[bytes]:
    """A program that does not end by itself."""
    with TemporaryFile() as body:
        return cgi._start(str(folder / "cgi-bin" / "long.sh"), ["long.sh"], dict(os.environ), body, False)


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
@on_every_server
def test_a_program_ends_with_the_time_of_its_request(
    server_class: type[HTTPServer], name: str, serve_programs: ServePrograms, folder: Path
) -> None:
    """Whether it writes nothing, writes no more, or has closed its output."""
    served = serve_programs(server_class, {"request_timeout": 0.5})
    number = folder / "number"
    number.touch()
    while not (text := number.read_text()):  # again, where it was ended before it could tell
        served.exchange(f"GET /cgi-bin/{name} HTTP/1.0\r\n\r\n".encode())
    assert eventually(lambda: not process_exists(int(text)))


def process_exists(number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(number, 0)
        return True
    return False
