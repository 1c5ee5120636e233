"""Files of green sockets: reading in chunks, and writing at once or collected."""

from __future__ import annotations

import io
import socket
from array import array
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader, Writer
from doorkeep.green.sockets import green
from tests.background import Background
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.channels import fill, has_arrived, unix_pair
from tests.green.fuzz_streams import Interrupted, Pieces
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub

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


class Sink:
    """A connection that notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.error: OSError | None = None

    def sendall(self, data: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(bytes(data))

    def fileno(self) -> int:
        return 5


@pytest.fixture
def sink() -> Sink:
    """Return a connection that notes what is sent."""
    return Sink()


class TestWriting:
    def test_each_write_is_sent_at_once(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub())
            assert writer.write(b"one") == 3
            assert writer.write(memoryview(b"two!")) == 4
            writer.writelines([b"three", bytearray(b"four")])
            assert sink.sent == [b"one", b"two!", b"three", b"four"]

        run(main)

    def test_collected_they_leave_together_when_the_greenlet_waits(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub(), True)
            assert writer.write(b"one") == 3
            assert writer.write(bytearray(b" two")) == 4
            writer.writelines([b" three"])
            assert sink.sent == []
            let_others_run()
            assert sink.sent == [b"one two three"]
            let_others_run()
            assert sink.sent == [b"one two three"]

        run(main)

    def test_collected_they_leave_when_those_who_are_ready_too_have_run(self) -> None:
        order: list[str] = []

        class Noted(Sink):
            def sendall(self, data: Any) -> None:
                order.append(f"{bytes(data).decode()} is sent")

        def write(name: str) -> None:
            sink = Noted()
            Writer(sink, sink, the_hub(), True).write(name.encode())
            order.append(f"{name} is written")
            let_others_run()

        def main() -> None:
            for name in ("one", "two", "three"):
                the_hub().start(write, name)
            let_others_run(4)

        run(main)
        assert order[:3] == ["one is written", "two is written", "three is written"]
        assert sorted(order[3:]) == ["one is sent", "three is sent", "two is sent"]

    def test_collected_they_leave_when_the_job_ends(self, sink: Sink) -> None:
        def main() -> None:
            def job() -> None:
                Writer(sink, sink, the_hub(), True).write(b"one")

            the_hub().start(job)
            let_others_run()
            assert sink.sent == [b"one"]

        run(main)

    def test_collected_they_leave_when_there_are_many(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub(), True)
            for _ in range(16):
                assert not sink.sent
                writer.write(bytes(1 << 12))
            assert sink.sent == [bytes(1 << 16)]

        run(main)

    def test_collected_they_leave_when_told(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub(), True)
            writer.write(b"one")
            writer.flush()
            assert sink.sent == [b"one"]
            writer.flush()
            writer.write(b"two")
            writer.close()
            assert sink.sent == [b"one", b"two"]

        run(main)

    def test_without_a_hub_nothing_is_collected(self, sink: Sink) -> None:
        writer = Writer(sink, sink, run(the_hub), True)
        writer.write(b"one")
        assert sink.sent == [b"one"]

    def test_in_another_thread_nothing_is_collected(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub(), True)
            Background(writer.write, b"one").result()
            assert sink.sent == [b"one"]

        run(main)

    def test_a_failure_is_for_the_next_call(self, sink: Sink) -> None:
        def main() -> None:
            writer = Writer(sink, sink, the_hub(), True)
            writer.write(b"one")
            sink.error = BrokenPipeError("gone")
            let_others_run()  # who waits for something else is not to get it
            with pytest.raises(BrokenPipeError, match="gone"):
                writer.write(b"two")
            writer.write(b"three")
            let_others_run()
            with pytest.raises(BrokenPipeError, match="gone"):
                writer.flush()
            writer.close()

        run(main)

    def test_sending_what_was_collected_may_wait(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, client), green_pair() as (other, other_client):
                size = fill(connection)
                order: list[str] = []

                def job() -> None:
                    connection.make_writer(True).write(b"late")
                    order.append(other.recv(10).decode())

                task = spawn(job)
                let_others_run()
                other_client.sendall(b"answer")
                let_others_run(3)
                assert not task.done()
                receive_exactly(client, size)
                task.result(30)
                assert receive_exactly(client, 4) == b"late"
                assert order == ["answer"]

        run(main)

    def test_a_wake_up_while_it_waits_is_not_lost(self) -> None:
        def main() -> None:
            with unix_pair() as (connection, client):
                size = fill(connection)
                woken: list[bool] = []
                waiting: list[Any] = []

                def job() -> None:
                    waiting.append(getcurrent())
                    connection.make_writer(True).write(b"late")
                    park_until(lambda: woken)

                task = spawn(job)
                let_others_run()
                woken.append(True)
                the_hub().wake(waiting[0])
                let_others_run(2)
                receive_exactly(client, size)
                task.result(30)

        run(main)


class TestWritersAsFiles:
    def test_what_they_are(self, sink: Sink) -> None:
        file: Any = Writer(sink, sink, run(the_hub))
        assert issubclass(type(file), io.BufferedIOBase)
        assert file.writable()
        assert not file.readable()
        assert not file.seekable()
        assert not file.isatty()
        assert file.fileno() == file.name == 5
        assert file.mode == "wb"
        with file as entered:
            assert entered is file
            assert not file.closed
        assert file.closed

    def test_closed_they_still_write(self, sink: Sink) -> None:
        file = Writer(sink, sink, run(the_hub))
        file.close()
        file.close()
        file.write(b"x")
        assert sink.sent == [b"x"]

    @pytest.mark.parametrize("call", ["tell()", "seek(0)", "truncate()", "read()", "readline()", "detach()"])
    def test_what_they_refuse(self, sink: Sink, call: str) -> None:
        with pytest.raises(io.UnsupportedOperation):
            eval(f"file.{call}", {"file": Writer(sink, sink, run(the_hub))})

    @pytest.mark.parametrize("data", ["text", 5, None])
    def test_what_is_no_data(self, sink: Sink, data: Any) -> None:
        def main() -> None:
            for collects in (False, True):
                with pytest.raises(TypeError):
                    Writer(sink, sink, the_hub(), collects).write(data)

        run(main)

    def test_text_on_top(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                text = io.TextIOWrapper(connection.make_writer(), "utf-8", write_through=True)
                text.write("grün\n")
                assert receive_exactly(client, 6) == "grün\n".encode()

        run(main)


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
