"""Green sockets as files, and files sent through them."""

from __future__ import annotations

import io
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader
from doorkeep.green.sockets import GreenSocket
from tests.background import Background
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.hubs import green_pair, let_others_run

pytestmark = pytest.mark.usefixtures("poller")


class TestFiles:
    def test_reading_buffered_is_ours(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                with connection.makefile("rb") as file, connection.makefile("br", 100) as other:
                    assert type(file) is type(other) is Reader
                    assert issubclass(Reader, io.BufferedIOBase)
                    assert file.fileno() == file.name == connection.fileno()
                    assert file.readable()
                    assert not file.writable()
                assert file.closed
                client.sendall(b"hello")
                assert connection.recv(10) == b"hello"

        run(main)

    @pytest.mark.parametrize("mode", ["r", "w", "rw", "wb", "bw", "rwb", "wr"])
    def test_the_others_are_of_the_standard_library(self, mode: str) -> None:
        def main() -> None:
            with green_pair() as (connection, client), connection.makefile(mode, encoding=None) as file:
                assert type(file).__module__ in ("io", "_io")
                assert file.readable() is ("r" in mode)
                assert file.writable() is ("w" in mode)
                line = b"hello\n"
                if "w" in mode:
                    file.write(line if "b" in mode else line.decode())
                    file.flush()
                    assert receive_exactly(client, 6) == line
                if "r" in mode:
                    client.sendall(line)
                    assert file.readline() == (line if "b" in mode else line.decode())

        run(main)

    def test_a_mode_that_does_not_exist(self) -> None:
        def main() -> None:
            with green_pair() as (connection, _), pytest.raises(ValueError, match="invalid mode"):
                connection.makefile("a")

        run(main)


class TestSendfile:
    @pytest.mark.parametrize(("offset", "count"), [(0, None), (3, None), (0, 4), (3, 4), (3, 100), (100, None)])
    @pytest.mark.parametrize("kind", ["file", "stream"])
    def test_does_what_a_plain_one_does(self, tmp_path: Path, offset: int, count: int | None, kind: str) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")

        def outcome(sender: socket.socket, receiver: socket.socket) -> tuple[int, int, bytes]:
            with path.open("rb") if kind == "file" else io.BytesIO(path.read_bytes()) as file:
                sent = sender.sendfile(file, offset, count)
                return sent, file.tell(), receive_exactly(receiver, sent)

        def main() -> tuple[int, int, bytes]:
            with green_pair() as (connection, client):
                return outcome(connection, client)

        with tcp_pair() as (plain, client):
            assert run(main) == outcome(plain, client)

    def test_what_the_kernel_does_not_send_by_itself_is_read(self) -> None:
        path = Path("/proc/self/cmdline")
        if not path.exists():
            pytest.skip("the system has no /proc")

        def main() -> None:
            with green_pair() as (connection, client), path.open("rb") as file:
                data = path.read_bytes()
                assert connection.sendfile(file) == len(data)
                assert receive_exactly(client, len(data)) == data

        run(main)

    def test_what_cannot_be_read_anew_is_refused(self) -> None:
        reader, writer = os.pipe()

        def main() -> None:
            with green_pair() as (connection, _), open(reader, "rb") as pipe, pytest.raises(OSError, match="seek"):
                connection.sendfile(pipe)

        try:
            run(main)
        finally:
            os.close(writer)

    def test_what_it_refuses(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x")

        def main() -> None:
            with green_pair(0) as (connection, _), path.open("rb") as file:
                with pytest.raises(ValueError, match="non-blocking"):
                    connection.sendfile(file)
                connection.settimeout(30)
                with pytest.raises(ValueError, match="count must be a positive integer"):
                    connection.sendfile(file, 0, -1)
                with path.open() as text, pytest.raises(ValueError, match="binary mode"):
                    connection.sendfile(text)
            with (
                GreenSocket(type=socket.SOCK_DGRAM) as sock,
                path.open("rb") as file,
                pytest.raises(ValueError, match="SOCK_STREAM"),
            ):
                sock.sendfile(file)

        run(main)

    def test_each_part_lets_others_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("doorkeep.green.sockets._PART_OF_FILE", 1)
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")

        def main() -> None:
            turns = 0
            sending = True

            def count_turns() -> None:
                nonlocal turns
                while sending:
                    turns += 1
                    let_others_run()

            with green_pair() as (connection, _), path.open("rb") as file:
                counting = spawn(count_turns)
                assert spawn(connection.sendfile, file).result(30) == 10
                assert turns >= 10
                sending = False
                counting.result(30)

        run(main)

    def test_a_big_one_lets_others_run(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        size = 32 << 20  # more than the kernel keeps for a connection
        with path.open("wb") as file:
            file.truncate(size)

        def drain(client: socket.socket) -> int:
            taken = 0
            while taken < size:
                taken += len(client.recv(1 << 20))
            return taken

        def main() -> None:
            with green_pair() as (connection, client), path.open("rb") as file:
                task = spawn(connection.sendfile, file)
                let_others_run(2)
                assert not task.done()
                taker = Background(drain, client)
                assert task.result(30) == taker.result() == size

        run(main)


def test_files_that_wait_at_once() -> None:
    """Many connections read lines while one hub serves them."""

    def main() -> None:
        with ExitStack() as pairs:
            ends = [pairs.enter_context(green_pair()) for _ in range(20)]
            echoed = [0] * len(ends)

            def echo(number: int, connection: socket.socket) -> None:
                for line in connection.makefile("rb"):
                    connection.sendall(line)
                    echoed[number] += 1

            tasks = [spawn(echo, number, connection) for number, (connection, _) in enumerate(ends)]
            for turn in range(10):
                for _, client in ends:
                    client.sendall(b"half a li")
                let_others_run()
                for _, client in ends:
                    client.sendall(b"ne\n")
                park_until_all(echoed, turn + 1)
            for _, client in ends:
                client.shutdown(socket.SHUT_WR)
            for task in tasks:
                task.result(30)
            for _, client in ends:
                assert receive_exactly(client, 120) == b"half a line\n" * 10

    run(main)


def park_until_all(counts: list[int], number: int) -> None:
    while min(counts) < number:
        let_others_run()
