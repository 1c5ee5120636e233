"""Green sockets: each call that may wait lets others run, and blocks as a plain one where there is no hub."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.core import Reader
from doorkeep.green.sockets import GreenSocket, green
from tests.background import Background
from tests.connection.pairs import receive_exactly, tcp_pair
from tests.green.hubs import green_pair, let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")


def fill(connection: socket.socket) -> int:
    """Send without waiting until there is no room; return how much was sent."""
    timeout = connection.gettimeout()
    connection.setblocking(False)
    size = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            size += connection.send(bytes(1 << 16))
    connection.settimeout(timeout)
    return size


@dataclass
class Case:
    """A call that waits, either for `hello` to receive or for room to send it, and what it returns then."""

    call: Callable[[Any], Any]
    expected: Any
    writes: bool = False

    def prepare(self, connection: socket.socket) -> int:
        """See to it that the call has to wait; return how much the peer has to receive to end that."""
        return fill(connection) if self.writes else 0

    def act(self, peer: socket.socket, size: int) -> None:
        """End the wait."""
        if self.writes:
            receive_exactly(peer, size)
        else:
            peer.sendall(b"hello")

    def check(self, peer: socket.socket) -> None:
        """Check what the call has done."""
        if self.writes:
            assert receive_exactly(peer, 5) == b"hello"


def into(method: str) -> Callable[[Any], Any]:
    """Return a call that receives into a buffer; it returns the bytes."""

    def call(connection: Any) -> bytes:
        buffer = bytearray(10)
        if method == "recvmsg_into":
            size = connection.recvmsg_into([buffer])[0]
        elif method == "recvfrom_into":
            size = connection.recvfrom_into(buffer)[0]
        else:
            size = getattr(connection, method)(buffer)
        return bytes(buffer[:size])

    return call


def from_file(mode: str, **options: Any) -> Callable[[Any], Any]:
    def call(connection: Any) -> Any:
        with connection.makefile(mode, **options) as file:
            return file.read(5)

    return call


def to_file(mode: str, data: Any, **options: Any) -> Callable[[Any], Any]:
    def call(connection: Any) -> None:
        with connection.makefile(mode, **options) as file:
            file.write(data)
            file.flush()

    return call


def send_file(connection: Any) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(b"hello")
        file.seek(0)
        sent: int = connection.sendfile(file)
        assert file.tell() == 5
        return sent


def send_stream(connection: Any) -> int:
    sent: int = connection.sendfile(io.BytesIO(b"hello"))
    return sent


CASES = {
    "recv": Case(lambda s: s.recv(10), b"hello"),
    "recv_into": Case(into("recv_into"), b"hello"),
    "recvfrom": Case(lambda s: s.recvfrom(10)[0], b"hello"),
    "recvfrom_into": Case(into("recvfrom_into"), b"hello"),
    "recvmsg": Case(lambda s: s.recvmsg(10)[0], b"hello"),
    "recvmsg_into": Case(into("recvmsg_into"), b"hello"),
    "file": Case(from_file("rb"), b"hello"),
    "file, unbuffered": Case(from_file("rb", buffering=0), b"hello"),
    "file, both ways": Case(from_file("rwb"), b"hello"),
    "file of text": Case(from_file("r", encoding="ascii"), "hello"),
    "send": Case(lambda s: s.send(b"hello"), 5, writes=True),
    "sendall": Case(lambda s: s.sendall(b"hello"), None, writes=True),
    "sendmsg": Case(lambda s: s.sendmsg([b"hel", b"lo"]), 5, writes=True),
    "sendfile": Case(send_file, 5, writes=True),
    "sendfile of no file": Case(send_stream, 5, writes=True),
    "file to write": Case(to_file("wb", b"hello"), None, writes=True),
    "file to write, unbuffered": Case(to_file("wb", b"hello", buffering=0), None, writes=True),
    "file of text to write": Case(to_file("w", "hello", encoding="ascii"), None, writes=True),
    "writer": Case(lambda s: s.make_writer().write(b"hello"), 5, writes=True),
}


@pytest.mark.parametrize("name", CASES)
class TestEachCall:
    def test_lets_others_run(self, name: str) -> None:
        case = CASES[name]

        def main() -> None:
            with green_pair() as (connection, client):
                size = case.prepare(connection)
                task = spawn(case.call, connection)
                let_others_run(2)
                assert not task.done()
                case.act(client, size)
                assert task.result(30) == case.expected
                case.check(client)

        run(main)

    def test_times_out(self, name: str) -> None:
        case = CASES[name]

        def main() -> None:
            with green_pair(0.01) as (connection, client):
                case.prepare(connection)
                with pytest.raises(TimeoutError):
                    case.call(connection)
                connection.settimeout(30)
                client.close()

        run(main)

    def test_blocks_in_another_thread(self, name: str) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                Background(check_blocking, CASES[name], connection, client).result()

        run(main)

    def test_blocks_after_the_hub_has_ended(self, name: str) -> None:
        with tcp_pair() as (accepted, client), run(lambda: green(the_hub(), accepted)) as connection:
            check_blocking(CASES[name], connection, client)


def check_blocking(case: Case, connection: socket.socket, client: socket.socket) -> None:
    """Check that a call waits without a hub."""
    size = case.prepare(connection)
    connection.settimeout(0.01)
    with pytest.raises(TimeoutError):
        case.call(connection)
    connection.settimeout(None)
    helper = Background(case.act, client, size)
    assert case.call(connection) == case.expected
    helper.result()
    case.check(client)


class TestListening:
    def test_accept_lets_others_run(self) -> None:
        def main() -> None:
            with listening() as listener:
                acceptor = spawn(listener.accept)
                let_others_run(2)
                assert not acceptor.done()
                with socket.create_connection(listener.getsockname()) as client:
                    accepted, address = acceptor.result(30)
                    with accepted:
                        assert type(accepted) is GreenSocket
                        assert address == client.getsockname()
                        assert accepted.gettimeout() is None
                        client.sendall(b"hello")
                        assert accepted.recv(10) == b"hello"

        run(main)

    def test_several_accept(self) -> None:
        def main() -> None:
            with listening() as listener, ExitStack() as clients:
                acceptors = [spawn(listener.accept) for _ in range(5)]
                let_others_run()
                for _ in range(5):
                    clients.enter_context(socket.create_connection(listener.getsockname()))
                for acceptor in acceptors:
                    acceptor.result(30)[0].close()

        run(main)

    def test_accept_times_out(self) -> None:
        def main() -> None:
            with listening() as listener:
                listener.settimeout(0.01)
                with pytest.raises(TimeoutError):
                    listener.accept()
                listener.setblocking(False)
                with pytest.raises(BlockingIOError):
                    listener.accept()

        run(main)

    def test_accept_in_another_thread(self) -> None:
        def main() -> None:
            with listening() as listener:
                listener.settimeout(30)
                acceptor = Background(listener.accept)
                with socket.create_connection(listener.getsockname()):
                    acceptor.result()[0].close()

        run(main)

    def test_accepted_sockets_have_the_default_timeout(self) -> None:
        def main() -> None:
            with listening() as listener, socket.create_connection(listener.getsockname()):
                accepted, _ = listener.accept()
                with accepted:
                    assert accepted.gettimeout() == 3.5

        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(3.5)
        try:
            run(main)
        finally:
            socket.setdefaulttimeout(before)


@contextmanager
def listening(family: int = socket.AF_INET) -> Iterator[Any]:
    with GreenSocket(family) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


class TestConnecting:
    def test_connects(self) -> None:
        def main() -> None:
            with listening() as listener, GreenSocket() as client:
                client.connect(listener.getsockname())
                accepted, address = listener.accept()
                with accepted:
                    assert client.getsockname() == address
                    client.sendall(b"hello")
                    assert accepted.recv(10) == b"hello"

        run(main)

    def test_nobody_listens(self) -> None:
        def main() -> None:
            with GreenSocket() as unused, GreenSocket() as client:
                unused.bind(("127.0.0.1", 0))
                with pytest.raises(ConnectionRefusedError):
                    client.connect(unused.getsockname())
                with GreenSocket() as other:
                    assert other.connect_ex(unused.getsockname()) == errno.ECONNREFUSED

        run(main)

    def test_without_waiting(self) -> None:
        def main() -> None:
            with listening() as listener, GreenSocket() as client:
                client.setblocking(False)
                assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
                client.settimeout(30)
                accepted, _ = listener.accept()
                with accepted:
                    accepted.sendall(b"hello")
                    assert client.recv(10) == b"hello"

        run(main)

    def test_to_one_that_takes_nobody_in(self) -> None:
        def main() -> None:
            with crowded() as address, GreenSocket() as client:
                client.settimeout(0.02)
                with pytest.raises(TimeoutError):
                    client.connect(address)
                with GreenSocket() as other:
                    other.settimeout(0.02)
                    assert other.connect_ex(address) == errno.EAGAIN

        run(main)

    def test_a_wake_up_for_nothing_connects_nothing(self) -> None:
        def main() -> None:
            with crowded() as address, GreenSocket() as client:
                client.settimeout(0.1)
                begun: list[Any] = []

                def connect() -> None:
                    begun.append(getcurrent())
                    client.connect(address)

                task = spawn(connect)
                let_others_run()
                for _ in range(3):
                    the_hub().wake(begun[0])
                    let_others_run()
                assert not task.done()
                with pytest.raises(TimeoutError):
                    task.result(30)

        run(main)

    def test_after_the_hub_has_ended(self) -> None:
        with run(GreenSocket) as client, socket.create_server(("127.0.0.1", 0)) as listener:
            client.settimeout(30)
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"hello")
                assert client.recv(10) == b"hello"

    def test_through_a_unix_socket(self, tmp_path: Path) -> None:
        path = str(tmp_path / "socket")

        def main() -> None:
            with socket.socket(socket.AF_UNIX) as listener, GreenSocket(socket.AF_UNIX) as client:
                listener.bind(path)
                listener.listen()
                client.connect(path)
                accepted, _ = listener.accept()
                with accepted:
                    accepted.sendall(b"hello")
                    assert client.recv(10) == b"hello"

        run(main)

    def test_through_a_unix_socket_whose_queue_is_full(self, tmp_path: Path) -> None:
        def accept(listener: socket.socket) -> None:
            listener.accept()[0].close()

        def main() -> None:
            with (
                socket.socket(socket.AF_UNIX) as listener,
                socket.socket(socket.AF_UNIX) as first,
                GreenSocket(socket.AF_UNIX) as late,
                GreenSocket(socket.AF_UNIX) as last,
            ):
                listener.bind(str(tmp_path / "socket"))
                listener.listen(0)
                first.connect(listener.getsockname())
                late.settimeout(0)
                assert late.connect_ex(listener.getsockname()) == errno.EAGAIN
                late.settimeout(0.01)
                with pytest.raises(TimeoutError):
                    late.connect(listener.getsockname())
                connecting = spawn(last.connect, listener.getsockname())
                let_others_run(2)
                assert not connecting.done()
                accept(listener)
                connecting.result(30)
                accept(listener)

        run(main)


@contextmanager
def crowded() -> Iterator[Any]:
    """Yield the address of a listener whose queue is full."""
    with socket.socket() as listener, ExitStack() as clients:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()


class TestDatagrams:
    def test_calls_let_others_run(self) -> None:
        def main() -> None:
            with GreenSocket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
                server.bind(("127.0.0.1", 0))
                client.bind(("127.0.0.1", 0))
                client.settimeout(30)
                buffer = bytearray(10)
                calls: list[Any] = [
                    lambda: server.recvfrom(10),
                    lambda: (buffer[: server.recvfrom_into(buffer)[0]], client.getsockname()),
                    lambda: server.recvmsg(10)[::3],
                    lambda: (buffer[: server.recvmsg_into([buffer])[0]], client.getsockname()),
                ]
                for call in calls:
                    task = spawn(call)
                    let_others_run(2)
                    assert not task.done()
                    client.sendto(b"hello", server.getsockname())
                    data, address = task.result(30)
                    assert data == b"hello"
                    assert address == client.getsockname()
                    assert server.sendto(b"ok", address) == 2
                    assert server.sendmsg([b"o", b"k"], [], 0, address) == 2
                    assert client.recv(10) == b"ok"
                    assert client.recv(10) == b"ok"

        run(main)


class TestTimeouts:
    def test_they_are_told(self) -> None:
        def main() -> None:
            with GreenSocket() as sock:

                def told() -> tuple[float | None, float | None, bool]:
                    return sock.gettimeout(), sock.timeout, sock.getblocking()

                assert told() == (None, None, True)
                sock.settimeout(2)
                assert told() == (2, 2, True)
                sock.setblocking(False)
                assert told() == (0, 0, False)
                sock.setblocking(True)
                assert told() == (None, None, True)
                for wrong in (-1, -0.5):
                    with pytest.raises(ValueError, match="Timeout value out of range"):
                        sock.settimeout(wrong)
                assert told() == (None, None, True)

        run(main)

    def test_a_call_that_waits_twice_has_one_for_both(self) -> None:
        def main() -> None:
            with GreenSocket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
                server.bind(("127.0.0.1", 0))
                server.settimeout(0.05)
                greedy = green(the_hub(), socket.socket(fileno=os.dup(server.fileno())))
                with greedy:
                    woken: list[Any] = []

                    def receive() -> None:
                        woken.append(getcurrent())
                        server.recvfrom(10)

                    begun = time.monotonic()
                    task = spawn(receive)
                    let_others_run()
                    while not task.done() and time.monotonic() < begun + 2:
                        the_hub().wake(woken[0])
                        let_others_run()
                    with pytest.raises(TimeoutError):
                        task.result(0)
                    assert time.monotonic() < begun + 2
                client.close()

        run(main)


class TestTheEnd:
    def test_shutdown(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                reader = spawn(connection.recv, 10)
                let_others_run()
                connection.shutdown(socket.SHUT_RD)
                assert reader.result(30) == b""
                connection.shutdown(socket.SHUT_WR)
                assert client.recv(10) == b""
                with pytest.raises(BrokenPipeError):
                    connection.sendall(b"x")

        run(main)

    def test_it_closes_when_its_files_have(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                first, second = connection.makefile("rb"), connection.makefile("rb")
                connection.close()
                client.sendall(b"hello")
                assert first.read(2) == b"he"
                first.close()
                assert connection.fileno() >= 0
                client.sendall(b" again")
                assert second.read(3) == b" ag"
                second.close()
                assert connection.fileno() == -1
                assert client.recv(10) == b""

        run(main)

    def test_it_closes_when_its_files_are_dropped(self) -> None:
        def main() -> None:
            with green_pair() as (connection, client):
                client.sendall(b"a\nb\n")
                assert list(zip(range(2), connection.makefile("rb"), strict=False)) == [(0, b"a\n"), (1, b"b\n")]
                connection.close()
                assert connection.fileno() == -1
                assert client.recv(10) == b""

        run(main)

    def test_a_duplicate_is_green_too(self) -> None:
        def main() -> None:
            with green_pair(3) as (connection, client), connection.dup() as copy:
                assert type(copy) is GreenSocket
                assert copy.gettimeout() == 3
                assert copy.fileno() != connection.fileno()
                reader = spawn(copy.recv, 10)
                let_others_run()
                connection.close()
                client.sendall(b"hello")
                assert reader.result(30) == b"hello"

        run(main)

    def test_detached_it_is_blocking_or_not_as_it_was(self) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, _):
                for timeout in (None, 0.0, 2.0):
                    connection = green(the_hub(), accepted.dup())
                    connection.settimeout(timeout)
                    descriptor = connection.detach()
                    assert os.get_blocking(descriptor) is (timeout is None)
                    os.close(descriptor)
                    assert connection.fileno() == -1

        run(main)


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
                assert task.result(10) == taker.result() == size

        run(main)


class TestMaking:
    def test_it_needs_a_hub(self) -> None:
        with pytest.raises(RuntimeError, match="needs a hub"):
            GreenSocket()

    def test_of_a_plain_one(self) -> None:
        def main() -> None:
            with tcp_pair() as (accepted, client):
                accepted.settimeout(2.5)
                descriptor, name = accepted.fileno(), accepted.getsockname()
                with green(the_hub(), accepted) as connection:
                    assert accepted.fileno() == -1
                    assert type(connection) is GreenSocket
                    assert isinstance(connection, socket.socket)
                    assert connection.fileno() == descriptor
                    assert connection.getsockname() == name
                    assert connection.gettimeout() == 2.5
                    assert (connection.family, connection.type, connection.proto) == (client.family, client.type, 0)
                    assert green(the_hub(), connection) is connection
                    assert "GreenSocket" in repr(connection)

        run(main)

    def test_a_pair(self) -> None:
        def main() -> None:
            left, right = (green(the_hub(), end) for end in socket.socketpair())
            with left, right:
                task = spawn(left.recv, 10)
                let_others_run()
                right.sendall(b"hello")
                assert task.result(30) == b"hello"

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


@pytest.mark.parametrize("name", ["recv", "recv_into", "send", "sendall"])
def test_a_call_keeps_the_socket_that_it_is_of(name: str) -> None:
    """Else its descriptor could be another's by the time of the call."""

    def main() -> None:
        with green_pair() as (connection, _):
            assert getattr(connection, name).__self__ is connection

    run(main)
