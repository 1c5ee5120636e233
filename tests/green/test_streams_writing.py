"""Files of green sockets that are written: at once, or collected."""

from __future__ import annotations

import io
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.core import Writer
from tests.background import Background
from tests.connection.pairs import receive_exactly
from tests.green.channels import fill, unix_pair
from tests.green.hubs import green_pair, let_others_run, park_until, the_hub

pytestmark = pytest.mark.usefixtures("poller")


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
