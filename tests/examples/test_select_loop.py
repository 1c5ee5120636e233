"""The server in another program's loop."""

from __future__ import annotations

from tests.examples.programs import PATIENCE, Program, connect


def told(port: int) -> bytes:
    """Return what a client is told."""
    with connect(port) as connection, connection.makefile("rb") as stream:
        return stream.read()


def test_program_and_server_take_turns() -> None:
    with Program("select_loop.py", "--port", 0) as program:
        port = program.port()
        assert program.process.stdin is not None
        assert told(port) == b"nothing yet\n"
        program.process.stdin.write(b"lunch\nis ready\n")
        program.process.stdin.flush()
        program.wait_for("The notice has changed")
        assert told(port) == b"is ready\n"
        assert told(port) == b"is ready\n"


def test_program_ends_with_its_input() -> None:
    with Program("select_loop.py", "--port", 0) as program:
        program.port()
        assert program.process.stdin is not None
        program.process.stdin.close()
        assert program.process.wait(PATIENCE) == 0
