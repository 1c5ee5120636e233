"""Tests of the C programs: what they refuse, and that the one talks to the other."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench.__main__ import main
from bench.process import serving
from bench.programs import NotCompiled, compile_programs
from tests import prerequisites
from tests.bench.samples import LONGER

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled programs."""
    prerequisites.command("cc")
    folder = tmp_path_factory.mktemp("programs")
    compile_programs(folder)
    return folder


@pytest.fixture
def load(programs: Path) -> Run:
    """Run the load generator for a moment."""

    def run(*arguments: str, seconds: float = 0.1) -> subprocess.CompletedProcess[str]:
        command = [str(programs / "load"), *arguments, f"--seconds={seconds}", "--warmup=0.05"]
        return subprocess.run(command, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "128.0.0.1", "localhost", "127.1"])
def test_load_refuses_other_machines(load: Run, host: str) -> None:
    done = load("echo", f"--host={host}", "--port=80")
    assert done.returncode == 2
    assert done.stderr == (f'load: only addresses of this machine (127.0.0.0/8) are loaded, not "{host}".\n')


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("echo", "say which --port to load."),
        ("echo --port=1 --size=none", '--size has to be a number from 1 to 16777216, not "none".'),
        ("echo --port=1 --pipeline=2", "--pipeline is for lines and udp; echo has one message in flight."),
        ("udp --port=1 --size=7", "--size of a datagram has to be from 8 to 65507 bytes."),
        ("udp --unix=/tmp/socket", "--unix is for echo, lines and connect."),
    ],
)
def test_load_refuses_contradictions(load: Run, arguments: str, sentence: str) -> None:
    done = load(*arguments.split())
    assert (done.returncode, done.stderr) == (2, f"load: {sentence}\n")


def test_load_shows_its_usage(load: Run) -> None:
    assert load("--help").stdout.startswith("usage: load echo|lines|connect|udp|idle ")
    assert load("dance").returncode == 2


@pytest.mark.parametrize(
    ("work", "server", "options"),
    [
        ("echo", "tcp", []),
        ("echo", "tcp", ["--size=1000000"]),
        ("lines", "tcp", ["--pipeline=16"]),
        ("connect", "line", []),
        ("udp", "udp", ["--pipeline=4"]),
        ("idle", "tcp", []),
    ],
)
def test_load_on_the_echo_server(programs: Path, load: Run, work: str, server: str, options: list[str]) -> None:
    with serving([str(programs / "echo"), server]) as echo:
        arguments = (work, f"--port={echo.port}", "--connections=4", *options)
        done = load(*arguments)
        for seconds in LONGER:
            if "no message came back" in done.stderr:
                done = load(*arguments, seconds=seconds)
    assert done.stderr == ""
    held, _, output = done.stdout.partition("{")
    assert held == ("HELD 4\n" if work == "idle" else "")
    said: dict[str, Any] = json.loads("{" + output)
    assert (said["work"], said["connections"], said["errors"]) == (work, 4, 0)
    assert 0 < said["count"] <= said["total"]
    assert said["per_connection"]["mean"] * 4 == pytest.approx(said["count"], abs=0.5)
    latency = said["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]


def test_load_tells_when_nobody_listens(load: Run) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        done = load("connect", f"--port={bound.getsockname()[1]}")
    assert done.returncode == 1
    assert done.stderr.startswith("load: no message came back in 0.1 s (")


def test_load_does_not_count_wrong_answers(load: Run, tmp_path: Path) -> None:
    """Over a Unix socket, of which the only connection gets what it did not send."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(64)
                peer.sendall(b"y" * 64)

        thread = Thread(target=answer)
        thread.start()
        done = load("connect", f"--unix={path}", "--connections=1")
        thread.join()
    assert done.returncode == 1
    assert "(1 errors, 0 lost)" in done.stderr


def test_echo_shows_its_usage(programs: Path) -> None:
    done = subprocess.run([programs / "echo", "dance"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "usage: echo tcp|line|udp [--port 0]\n")


def test_without_a_compiler_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotCompiled):
        compile_programs(tmp_path)
    assert main(["--work=echo"]) == 2
    assert capsys.readouterr().err == ("The benchmarks need a C compiler (cc, gcc or clang), and none was found.\n")


def test_a_name_that_no_contender_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--contenders=nobody"]) == 2
    assert capsys.readouterr().err == "No contender of these works has such a name.\n"
