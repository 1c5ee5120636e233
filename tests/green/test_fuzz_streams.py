"""Streams with random data, in random pieces, by random calls."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorkeep.green import run, spawn
from doorkeep.green.sockets import green
from tests.green import fuzz_streams
from tests.green.hubs import let_others_run, the_hub


@pytest.mark.parametrize(("name", "cases"), list(zip(fuzz_streams.CHECKS, [2000, 300, 1000], strict=True)))
def test_reading(name: str, cases: int) -> None:
    fuzz_streams.fuzz(name, cases)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_streams.main(["--cases", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(fuzz_streams.CHECKS)
    assert all("10 cases" in line and "no difference" in line for line in lines)


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fuzz_streams.CALLS, "name", lambda file, size: type(file).__name__)
    with pytest.raises(AssertionError, match="but should be"):
        fuzz_streams.check_like_the_standard_library([b"a", b"b"], [("read", 1), ("name", 0)])


_data = st.text("abc\n", max_size=20).map(str.encode) | st.sampled_from([1 << 12, (1 << 16) - 1, 1 << 16, 1 << 18]).map(
    lambda size: b"x" * size
)
_steps = st.lists(
    st.tuples(st.sampled_from(["write", "write and change"]), _data)
    | st.tuples(st.just("write lines"), st.lists(_data, max_size=3))
    | st.tuples(st.sampled_from(["flush", "let others run", "wait for an answer"]), st.none()),
    max_size=12,
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.booleans(), _steps)
def test_writing(collects: bool, steps: list[tuple[str, Any]]) -> None:
    """Bytes arrive in order and whole, however they are written, and before the writer waits for an answer."""

    def answer(connection: socket.socket) -> bytes:
        received = b""
        while data := connection.recv(1 << 20):
            received += data
            if b"?" in data:
                connection.sendall(b"!" * data.count(b"?"))
        return received

    def main() -> tuple[bytes, bytes]:
        ours, theirs = (green(the_hub(), end) for end in socket.socketpair())
        with theirs:
            answering = spawn(answer, theirs)
            with ours:
                sent = write(ours, collects, steps)
            return sent, answering.result(30)

    sent, received = run(main)
    assert sent == received


def write(connection: Any, collects: bool, steps: list[tuple[str, Any]]) -> bytes:
    """Do as the steps say; return what that should send."""
    writer = connection.make_writer(collects)
    sent = b""
    for step, data in steps:
        if step == "write":
            assert writer.write(data) == len(data)
            sent += data
        elif step == "write and change":
            changing = bytearray(data)
            assert writer.write(changing) == len(data)
            changing[:] = b"y" * len(data)
            sent += data
        elif step == "write lines":
            writer.writelines(data)
            sent += b"".join(data)
        elif step == "flush":
            writer.flush()
        elif step == "let others run":
            let_others_run()
        else:
            writer.write(b"?")
            sent += b"?"
            assert connection.recv(1) == b"!"
    writer.close()
    return sent
