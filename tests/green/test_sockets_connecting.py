"""Green sockets that listen and that connect."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from greenlet import getcurrent

from doorkeep.green import run, spawn
from doorkeep.green.sockets import GreenSocket
from tests.background import Background
from tests.green.hubs import let_others_run, the_hub

pytestmark = pytest.mark.usefixtures("poller")


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
                client.settimeout(0.05)
                begun: list[Any] = []

                def connect() -> None:
                    begun.append(getcurrent())
                    client.connect(address)

                task = spawn(connect)
                let_others_run()
                for _ in range(3):
                    the_hub().wake(begun[0])
                    let_others_run()
                with pytest.raises(TimeoutError, match="timed out"):
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
        first = clients.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
        # It may be connected before the listener knows of it, which would take in another then.
        assert select.select([listener], [], [], 30)[0]
        for _ in range(2):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(first.getpeername())
        yield listener.getsockname()
