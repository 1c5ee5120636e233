"""Connections to other servers, as a handler makes them."""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from doorkeep.green import connect, run, sleep, spawn, timeout
from doorkeep.green.sockets import GreenSocket
from doorkeep.green.tls import GreenSSLSocket
from tests import prerequisites
from tests.background import Background
from tests.connection.certificates import NAME, Certificates
from tests.green.places import Place, everywhere

SOON = 0.05

# What `socket.getaddrinfo` returns for each address.
Found = tuple[int, int, int, str, Any]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    prerequisites.module("trustme")
    return Certificates(tmp_path)


@pytest.fixture
def unused_port() -> Iterator[int]:
    """Return a port at which nobody listens, nor will while the test runs: it is taken."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def greet(listener: socket.socket, *arguments: Any, **options: Any) -> type[socket.socket]:
    """Connect, and exchange greetings with what the listener accepts; return the class of the connection."""
    with connect(*arguments, **options) as connection:
        accepted, _ = listener.accept()
        with accepted:
            connection.sendall(b"hello")
            assert accepted.recv(100) == b"hello"
            accepted.sendall(b"welcome")
            assert connection.recv(100) == b"welcome"
        assert connection.recv(100) == b""
        return type(connection)


@everywhere
def test_tcp(place: Place, listener: socket.socket) -> None:
    assert place(greet, listener, listener.getsockname()) is (GreenSocket if place is run else socket.socket)


@everywhere
def test_by_name(place: Place, listener: socket.socket) -> None:
    place(greet, listener, ("localhost", listener.getsockname()[1]))


@everywhere
def test_ipv6(place: Place) -> None:
    prerequisites_of_ipv6()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        place(greet, listener, listener.getsockname())


def prerequisites_of_ipv6() -> None:
    """End the calling test where the loopback interface has no IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        prerequisites.lack("there is no IPv6 loopback address")


@everywhere
def test_a_refusal(place: Place, unused_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        place(connect, ("127.0.0.1", unused_port))


@everywhere
def test_a_name_that_is_unknown(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(*_: Any, **options: Any) -> list[Found]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    with pytest.raises(socket.gaierror, match="unknown"):
        place(connect, ("nowhere.invalid", 80))


@everywhere
def test_all_addresses_are_tried(
    place: Place, listener: socket.socket, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [tcp_address(unused_port), tcp_address(listener.getsockname()[1])]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **options: found)
    place(greet, listener, ("several.invalid", 80))


@everywhere
def test_the_last_failure_tells(place: Place, unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    no_family: Found = (socket.AF_UNIX, socket.SOCK_STREAM, 12345, "", "/nowhere")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **options: [no_family, tcp_address(unused_port)])
    with pytest.raises(ConnectionRefusedError):
        place(connect, ("several.invalid", 80))


def tcp_address(port: int) -> Found:
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port)


def test_others_run_while_a_name_is_looked_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()

    def look_up(host: str, port: int, type: int, flags: int = 0) -> list[Found]:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        assert asked.wait(30)
        return [tcp_address(port)]

    def main() -> None:
        answering = spawn(asked.set)
        greet(listener, ("somewhere.invalid", listener.getsockname()[1]))
        assert answering.done()

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    run(main)


def test_no_thread_is_needed_for_an_address(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise AssertionError("a thread was started")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    run(greet, listener, listener.getsockname())


# -- Time --------------------------------------------------------------------------------------------------------


@contextmanager
def full(listener: socket.socket) -> Iterator[None]:
    """Fill the backlog of a listener, so that the kernel takes in no more."""
    listener.listen(0)
    with ExitStack() as stack:
        first = stack.enter_context(socket.socket(listener.family))
        first.settimeout(30)
        first.connect(listener.getsockname())
        # It may be connected before the listener knows of it, which would take in another then.
        assert select.select([listener], [], [], 30)[0]
        while True:  # other kernels than Linux have room for more
            client = stack.enter_context(socket.socket(listener.family))
            client.settimeout(SOON)
            try:
                client.connect(listener.getsockname())
            except (TimeoutError, BlockingIOError):
                break
        yield


@everywhere
def test_connecting_takes_no_longer_than_its_timeout(place: Place, listener: socket.socket) -> None:
    with full(listener), pytest.raises(TimeoutError, match="timed out"):
        place(connect, listener.getsockname(), SOON)


@everywhere
def test_connecting_takes_no_longer_than_the_block_around(place: Place, listener: socket.socket) -> None:
    def main() -> None:
        with pytest.raises(TimeoutError, match=r"not done within 0\.05"), timeout(SOON):
            connect(listener.getsockname(), 60)

    with full(listener):
        place(main)


@everywhere
@pytest.mark.parametrize("seconds", [25, None])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_connection_keeps_its_timeout(place: Place, tmp_path: Path, family: int, seconds: float | None) -> None:
    def timeout_of_connection() -> float | None:
        with timeout(60), connect(server.getsockname(), seconds) as connection:
            return connection.gettimeout()

    with socket.socket(family) as server:
        server.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "server"))
        server.listen()
        assert place(timeout_of_connection) == seconds


@everywhere
def test_the_default_is_that_of_the_program(
    place: Place, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timeout_of_connection() -> float | None:
        with connect(listener.getsockname()) as connection:
            return connection.gettimeout()

    assert place(timeout_of_connection) is None
    socket.setdefaulttimeout(7)
    try:
        assert place(timeout_of_connection) == 7
    finally:
        socket.setdefaulttimeout(None)


# -- Unix sockets ------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("form", [str, os.fsencode, Path])
def test_unix(place: Place, tmp_path: Path, form: Any) -> None:
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        assert place(greet, listener, form(path)) is (GreenSocket if place is run else socket.socket)


@everywhere
def test_unix_abstract(place: Place, tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        prerequisites.lack("abstract addresses are Linux's")
    name = f"\0{tmp_path}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        place(greet, listener, name)


@everywhere
def test_unix_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        place(connect, str(tmp_path / "nobody"))


@everywhere
def test_unix_with_a_full_backlog(place: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen(0)
        with full(listener):
            with pytest.raises(TimeoutError):
                place(connect, listener.getsockname(), SOON)

            def main() -> None:
                with pytest.raises(TimeoutError), timeout(SOON):
                    connect(listener.getsockname())
                accepting = spawn(accept_later)
                connect(listener.getsockname(), 30).close()
                accepting.result(30)

            def accept_later() -> None:
                sleep(SOON)
                accepted, _ = listener.accept()  # one of those who have filled it
                accepted.close()

            place(main)


# -- TLS ---------------------------------------------------------------------------------------------------------


class Greeter:
    """A TLS server for one client, in a thread."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        self._listener = listener
        self._context = context
        self._thread = Background(self._serve)

    def _serve(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.settimeout(30)
        with accepted, self._context.wrap_socket(accepted, server_side=True) as client:
            client.sendall(client.recv(100).upper())

    def result(self) -> None:
        self._thread.result()


@everywhere
def test_tls(place: Place, listener: socket.socket, certificates: Certificates) -> None:
    def main() -> type[socket.socket]:
        address = ("localhost", listener.getsockname()[1])
        with connect(address, 30, ssl_context=certificates.client_context()) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"HELLO"
            assert connection.gettimeout() == 30
            return type(connection)

    server = Greeter(listener, certificates.server_context())
    assert place(main) is (GreenSSLSocket if place is run else ssl.SSLSocket)
    server.result()


@everywhere
def test_tls_names_whom_it_expects(place: Place, listener: socket.socket, certificates: Certificates) -> None:
    def main() -> bytes:
        context = certificates.client_context()
        with connect(listener.getsockname(), 30, ssl_context=context, server_hostname=NAME) as connection:
            connection.sendall(b"hello")
            return connection.recv(100)

    server = Greeter(listener, certificates.server_context())
    assert place(main) == b"HELLO"
    server.result()


@everywhere
def test_tls_with_another(place: Place, listener: socket.socket, certificates: Certificates) -> None:
    def main() -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            connect(listener.getsockname(), 30, ssl_context=certificates.client_context())

    server = Greeter(listener, certificates.server_context())
    place(main)
    with pytest.raises(OSError, match="alert"):
        server.result()


@everywhere
def test_tls_through_a_unix_socket(place: Place, tmp_path: Path, certificates: Certificates) -> None:
    def main() -> bytes:
        context = certificates.client_context()
        with connect(path, 30, ssl_context=context, server_hostname=NAME) as connection:
            connection.sendall(b"hello")
            return connection.recv(100)

    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(30)
        server = Greeter(listener, certificates.server_context())
        assert place(main) == b"HELLO"
        server.result()


@everywhere
def test_tls_with_somebody_silent(place: Place, listener: socket.socket) -> None:
    def main() -> None:
        context = ssl.create_default_context()
        with pytest.raises(TimeoutError, match="timed out"):
            connect(listener.getsockname(), SOON, ssl_context=context)
        with pytest.raises(TimeoutError, match=r"not done within 0\.05"), timeout(SOON):
            connect(listener.getsockname(), 60, ssl_context=context)

    place(main)


def test_a_host_name_without_tls(listener: socket.socket) -> None:
    with pytest.raises(ValueError, match="needs an ssl_context"):
        connect(listener.getsockname(), server_hostname=NAME)


def test_tls_must_know_whom_it_expects(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "server"))
        listener.listen()
        with pytest.raises(ValueError, match="server_hostname"):
            connect(listener.getsockname(), ssl_context=ssl.create_default_context())
