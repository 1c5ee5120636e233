"""Files of green sockets that are read: in lines, in chunks, and as much as is there."""

from __future__ import annotations

import io
import socket
from array import array
from typing import Any

import pytest

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader, Writer
from doorkeep.green.sockets import green
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.channels import has_arrived
from tests.green.fuzz_streams import Interrupted, Pieces
from tests.green.hubs import green_pair, let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")


def reader_of(*pieces: bytes | None) -> Reader:
    source = Pieces(list(pieces))
    return Reader(source, source)


class TestReading:
    def test_a_line_at_a_time(self) -> None:
        file = reader_of(b"one\ntwo", b"\nthr", b"ee\nfour")
        assert file.readline() == b"one\n"
        assert next(file) == b"two\n"
        assert list(file) == [b"three\n", b"four"]
        assert file.readline() == b""

    def test_so_many_bytes(self) -> None:
        file = reader_of(b"0123", b"45", b"6789")
        assert file.read(0) == b""
        assert file.read(2) == b"01"
        assert file.read(5) == b"23456"
        assert file.read(None) == b"789"
        assert file.read(5) == b""

    def test_what_is_there(self) -> None:
        file = reader_of(b"0123", b"45", b"6789")
        assert file.read1(2) == b"01"
        assert file.read1(9) == b"23"
        assert file.peek() == b"45"
        assert file.peek(1) == b"45"
        assert file.read1() == b"45"
        assert file.read1(0) == b""
        buffer = bytearray(3)
        assert file.readinto1(buffer) == 3
        assert buffer == b"678"

    def test_lines_up_to_a_limit(self) -> None:
        file = reader_of(b"abc\nd\n", b"efg\n")
        assert file.readline(2) == b"ab"
        assert file.readline(0) == b""
        assert file.readline(None) == b"c\n"
        assert file.readlines(3) == [b"d\n", b"efg\n"]

    def test_into_buffers_of_any_kind(self) -> None:
        target = array("i", [7, 7])
        file = reader_of(array("i", [1]).tobytes(), array("i", [2]).tobytes())
        assert file.readinto(target) == 8
        assert target.tolist() == [1, 2]
        for not_a_buffer in (b"bytes", "text", 5):
            with pytest.raises((TypeError, BufferError)):
                file.readinto(not_a_buffer)  # type: ignore[arg-type]  # the point

    def test_less_than_nothing(self) -> None:
        with pytest.raises(ValueError, match="non-negative or -1"):
            reader_of(b"abc").read(-2)

    def test_what_was_read_ahead(self) -> None:
        file = reader_of(b"line\nrest")
        assert file.unread() == b""
        file.readline()
        assert file.unread() == b"rest"
        assert file.read() == b""

    @pytest.mark.parametrize("call", ["read(9)", "readline()", "readlines()", "readinto(bytearray(9))", "read()"])
    def test_nothing_is_lost_when_receiving_fails(self, call: str) -> None:
        file = reader_of(b"ab", b"cd", None, b"e")
        with pytest.raises(Interrupted):
            eval(f"file.{call}", {"file": file})
        assert file.read() == b"abcde"

    def test_after_a_timeout_there_is_no_more_to_read(self) -> None:
        def main() -> None:
            with green_pair(0.01) as (connection, client), connection.makefile("rb") as file:
                client.sendall(b"half a line")
                assert has_arrived(connection)
                with pytest.raises(TimeoutError):
                    file.readline()
                assert file.peek() == b"half a line"
                assert file.read(4) == b"half"
                with pytest.raises(OSError, match="cannot read from timed out object"):
                    file.readline()

        run(main)

    def test_several_greenlets_read_one_file(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client), connection.makefile("rb") as file:
                readers = [spawn(file.readline) for _ in range(4)]
                let_others_run()
                for reader, line in zip(readers, [b"1\n", b"2\n", b"3\n", b"4\n"], strict=True):
                    client.sendall(line)
                    assert reader.result(30) == line

        run(main)


class TestReadersAsFiles:
    def test_what_they_are(self) -> None:
        file: Any = reader_of()
        assert issubclass(type(file), io.BufferedIOBase)
        assert file.readable()
        assert not file.writable()
        assert not file.seekable()
        assert not file.isatty()
        assert file.mode == "rb"
        file.flush()
        assert iter(file) is file

    @pytest.mark.parametrize("call", ["tell()", "seek(0)", "truncate()", "write(b'')", "writelines([])", "detach()"])
    def test_what_they_refuse(self, call: str) -> None:
        with pytest.raises(io.UnsupportedOperation):
            eval(f"file.{call}", {"file": reader_of(b"x")})

    @pytest.mark.parametrize(
        "call",
        [
            *("read()", "read(1)", "read1()", "readline()", "readlines()", "peek()", "readinto(bytearray(1))"),
            *("readinto1(bytearray(1))", "readable()", "writable()", "seekable()", "isatty()", "flush()", "fileno()"),
            *("__iter__()", "__next__()", "__enter__()"),
        ],
    )
    def test_closed(self, call: str) -> None:
        file: Any = reader_of(b"abc")
        with file as entered:
            assert entered is file
            assert not file.closed
        assert file.closed
        file.close()
        with pytest.raises(ValueError, match="closed file"):
            eval(f"file.{call}", {"file": file})

    def test_text_on_top(self) -> None:
        with io.TextIOWrapper(reader_of(b"gr\xc3", b"\xbcn\nblau"), "utf-8") as text:
            assert text.readline() == "grün\n"
            assert text.read() == "blau"

    def test_closing_gives_the_socket_back_once(self) -> None:
        source = Pieces([])
        file = Reader(source, source)
        file.close()
        file.close()
        del file
        assert source.files_closed == 1
        Reader(source, source)
        assert source.files_closed == 2


def test_another_source() -> None:
    """A file may read from, and write to, what is no channel."""

    def main() -> None:
        with tcp_pair() as (accepted, client), green(the_hub(), accepted) as connection:
            assert isinstance(connection, socket.socket)
            client.sendall(b"line\n")
            connection_: Any = connection
            connection_._io_refs += 1
            with Reader(connection, connection) as file:
                assert file.readline() == b"line\n"
            Writer(connection, connection, the_hub()).write(b"answer")
            assert receive_exactly(client, 6) == b"answer"

    run(main)
