"""Green sockets: each call that may wait lets others run, and blocks as a plain one where there is no hub."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.sockets import GreenSocket, green
from tests.background import Background
from tests.connection.pairs import receive_exactly, tcp_pair, unix_pair
from tests.green.channels import fill
from tests.green.hubs import green_pair, let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")


@dataclass
class Case:
    """A call that waits, either for `hello` to receive or for room to send it, and what it returns then."""

    call: Callable[[Any], Any]
    expected: Any
    writes: bool = False

    @property
    def pair(self) -> Any:
        """What makes the connection that the call is made on: one that stays full, if it is to write."""
        return unix_pair if self.writes else tcp_pair

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
            size = connection.recvfrom_into(buffer=buffer, nbytes=10, flags=0)[0]
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
            with green_pair(30, case.pair) as (connection, client):
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
            with green_pair(0.01, case.pair) as (connection, client):
                case.prepare(connection)
                with pytest.raises(TimeoutError):
                    case.call(connection)
                connection.settimeout(30)
                client.close()

        run(main)

    def test_blocks_in_another_thread(self, name: str) -> None:
        case = CASES[name]

        def main() -> None:
            with green_pair(30, case.pair) as (connection, client):
                Background(check_blocking, case, connection, client).result()

        run(main)

    def test_blocks_after_the_hub_has_ended(self, name: str) -> None:
        case = CASES[name]
        with case.pair() as (accepted, client), run(lambda: green(the_hub(), accepted)) as connection:
            check_blocking(case, connection, client)


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

                    task = spawn(receive)
                    let_others_run()
                    while not task.done():
                        the_hub().wake(woken[0])
                        let_others_run()
                    with pytest.raises(TimeoutError, match="timed out"):
                        task.result(30)
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
            with green_pair(25) as (connection, client), connection.dup() as copy:
                assert type(copy) is GreenSocket
                assert copy.gettimeout() == 25
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

    def test_what_is_closed_has_no_descriptor_to_detach(self) -> None:
        def main() -> None:
            with green_pair() as (connection, _):
                connection.close()
                assert connection.detach() == connection.detach() == -1

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


@pytest.mark.parametrize("name", ["recv", "recv_into", "send", "sendall"])
def test_a_call_keeps_the_socket_that_it_is_of(name: str) -> None:
    """Else its descriptor could be another's by the time of the call."""

    def main() -> None:
        with green_pair() as (connection, _):
            assert getattr(connection, name).__self__ is connection

    run(main)
