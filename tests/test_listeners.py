"""Where servers listen: address families, ports, Unix sockets, and binds that fail."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doorkeep import (
    SettingError,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
    UnixDatagramServer,
    UnixStreamServer,
)
from doorkeep.testing import no_leaks
from doorkeep.testing.plugin import Serve
from tests.clients import connected_to
from tests.prerequisites import lack
from tests.sample_handlers import Upper, UpperDatagram

LOOPBACK = ("127.0.0.1", 0)
abstract_names = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract names")


@pytest.fixture
def ipv6() -> None:
    """Make sure that this machine can serve IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError as error:
        lack(f"this machine has no IPv6: {error}")


@pytest.fixture
def no_mask() -> Iterator[None]:
    """Let new files have all the rights that they ask for."""
    mask = os.umask(0)
    yield
    os.umask(mask)


class TestFamilies:
    """The family follows the address, where the class does not say it."""

    @pytest.mark.usefixtures("ipv6")
    @pytest.mark.parametrize(("server_class", "handler"), [(TCPServer, Upper), (UDPServer, UpperDatagram)])
    def test_ipv6_by_address(self, serve: Serve, server_class: type[TCPServer], handler: Any) -> None:
        service = serve(server_class, handler, ("::1", 0))
        assert service.server.address_family == service.server.socket.family == socket.AF_INET6
        assert service.exchange(b"six\n") == b"SIX\n"

    @pytest.mark.usefixtures("ipv6")
    @pytest.mark.parametrize("server_class", [TCPServer, UDPServer])
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_every_ipv6_address_serves_ipv4_too(self, server_class: type[TCPServer], host: str) -> None:
        handler = UpperDatagram if server_class is UDPServer else Upper
        with server_class(("::", 0), handler) as server:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, server.socket_type) as client:
                client.settimeout(30)
                client.connect((host, server.server_address[1]))
                client.sendall(b"both\n")
                if server_class is TCPServer:
                    client.shutdown(socket.SHUT_WR)
                server.handle_request()
                assert client.recv(100) == b"BOTH\n"

    @pytest.mark.usefixtures("ipv6")
    def test_one_ipv6_address_serves_no_ipv4(self) -> None:
        with TCPServer(("::1", 0), Upper) as server, socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", server.server_address[1]))

    @pytest.mark.usefixtures("ipv6")
    def test_a_family_of_the_class_is_kept(self) -> None:
        class IPv6(TCPServer):
            address_family = socket.AF_INET6

        with IPv6(("", 0), Upper) as server:
            assert server.socket.family == socket.AF_INET6
            assert server.server_address[0] == "::"

    def test_a_path_makes_a_unix_socket(self, tmp_path: Path) -> None:
        with TCPServer(str(tmp_path / "socket"), Upper) as server:
            assert server.socket.family == socket.AF_UNIX

    def test_the_class_attribute_stays(self) -> None:
        with TCPServer(LOOPBACK, Upper):
            pass
        assert TCPServer.address_family == socket.AF_INET

    def test_a_host_name_is_resolved(self, serve: Serve) -> None:
        service = serve(TCPServer, Upper, ("localhost", 0))
        assert service.address[0] == "127.0.0.1"
        assert service.exchange(b"named\n") == b"NAMED\n"


class TestPorts:
    @pytest.mark.parametrize("server_class", [TCPServer, UDPServer])
    def test_zero_takes_a_free_one_and_tells_it(self, server_class: type[TCPServer]) -> None:
        with server_class(LOOPBACK, Upper) as one, server_class(LOOPBACK, Upper) as other:
            assert one.server_address == one.socket.getsockname()
            assert 0 < one.server_address[1] != other.server_address[1] > 0

    def test_one_in_use_is_refused(self) -> None:
        with TCPServer(LOOPBACK, Upper) as server:
            with pytest.raises(OSError, match="Address already in use") as caught:
                TCPServer(server.server_address, Upper)
            assert caught.value.errno == errno.EADDRINUSE

    def test_one_may_be_shared(self) -> None:
        with (
            TCPServer(LOOPBACK, Upper, allow_reuse_port=True) as one,
            TCPServer(one.server_address, Upper, allow_reuse_port=True) as other,
        ):
            assert one.server_address == other.server_address

    @pytest.mark.parametrize("allowed", [False, True])
    def test_reuse_of_the_address_is_asked_for_where_it_is_allowed(self, allowed: bool) -> None:
        with TCPServer(LOOPBACK, Upper, allow_reuse_address=allowed) as server:
            assert bool(server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) is allowed

    def test_allow_reuse_address_lets_old_connections_linger(self) -> None:
        with ThreadingTCPServer(LOOPBACK, lambda request, *_: request.close(), allow_reuse_address=True) as server:
            address = server.server_address
            with connected_to(server) as client:
                server.handle_request()
                assert client.recv(1) == b""  # ours was the first to close: the address lingers here
        with pytest.raises(OSError, match="Address already in use"):
            TCPServer(address, Upper)
        with TCPServer(address, Upper, allow_reuse_address=True) as again:
            assert again.server_address == address

    def test_the_backlog_is_as_long_as_the_system_allows(self) -> None:
        assert TCPServer.request_queue_size == socket.SOMAXCONN

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the backlog")
    def test_the_backlog_may_be_set(self) -> None:
        with TCPServer(LOOPBACK, Upper, request_queue_size=7) as server:
            assert backlog_of(server) == 7


def backlog_of(server: TCPServer) -> int:
    """Return how many clients the kernel lets wait at a listener."""
    # A listener has no use for tcpi_sacked in struct tcp_info: its backlog is there, see tcp_get_info() in Linux.
    info = server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 28)[0])


class TestUnixSockets:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        """Return where a socket file may be."""
        return str(tmp_path / "socket")

    @pytest.mark.parametrize(
        ("server_class", "handler"), [(UnixStreamServer, Upper), (UnixDatagramServer, UpperDatagram)]
    )
    def test_serve(self, serve: Serve, path: str, server_class: type[TCPServer], handler: Any) -> None:
        service = serve(server_class, handler, path)
        assert service.server.server_address == path
        assert service.exchange(b"hello\n") == b"HELLO\n"

    @pytest.mark.parametrize("form", [str, os.fsencode, Path])
    def test_a_path_may_have_any_form(self, path: str, form: Any) -> None:
        with UnixStreamServer(form(path), Upper) as server:
            assert os.fsdecode(server.server_address) == path

    @pytest.mark.parametrize("server_class", [UnixStreamServer, UnixDatagramServer])
    def test_a_stale_file_is_replaced(self, path: str, server_class: type[TCPServer]) -> None:
        server_class(path, Upper).server_close()
        assert os.path.exists(path)
        with server_class(path, Upper) as server, connected_to(server):
            pass

    @pytest.mark.parametrize("server_class", [UnixStreamServer, UnixDatagramServer])
    def test_a_live_server_is_refused_and_lives_on(self, path: str, server_class: type[TCPServer]) -> None:
        with server_class(path, Upper) as server:
            with pytest.raises(OSError, match="a server already listens at") as caught:
                server_class(path, Upper)
            assert caught.value.errno == errno.EADDRINUSE
            with connected_to(server):
                pass

    def test_a_file_that_is_no_socket_is_left_alone(self, path: str) -> None:
        Path(path).write_text("precious")
        with pytest.raises(OSError, match="Address already in use"):
            UnixStreamServer(path, Upper)
        assert Path(path).read_text() == "precious"

    @abstract_names
    @pytest.mark.parametrize("server_class", [UnixStreamServer, UnixDatagramServer])
    def test_an_abstract_name_leaves_no_file(
        self, tmp_path: Path, server_class: type[TCPServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        name = f"\0doorkeep-{os.getpid()}-{server_class.__name__}"
        with server_class(name, Upper, socket_mode=0o600) as server, connected_to(server):
            assert os.listdir(tmp_path) == []
            with pytest.raises(OSError, match="Address already in use"):
                server_class(name, Upper)

    @pytest.mark.usefixtures("no_mask")
    @pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o660, 0o660), (None, 0o777)])
    def test_the_file_has_the_mode_asked_for(self, path: str, mode: int | None, expected: int) -> None:
        with UnixStreamServer(path, Upper, socket_mode=mode):
            assert stat.S_IMODE(os.stat(path).st_mode) == expected

    def test_sharing_a_port_means_nothing_there(self, path: str) -> None:
        with UnixStreamServer(path, Upper, allow_reuse_port=True, allow_reuse_address=True) as server:
            assert not server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)

    def test_the_file_stays_when_the_server_closes(self, path: str) -> None:
        UnixStreamServer(path, Upper).server_close()
        assert os.path.exists(path)

    def test_a_path_that_is_too_long_is_refused(self, tmp_path: Path) -> None:
        with no_leaks(grace=0), pytest.raises(OSError, match="AF_UNIX path too long"):
            UnixStreamServer(str(tmp_path / ("x" * 200)), Upper)

    def test_a_datagram_client_without_a_name_gets_no_reply_and_harms_nobody(self, serve: Serve, path: str) -> None:
        service = serve(UnixDatagramServer, UpperDatagram, path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(b"hello", path)
        assert service.exchange(b"hello") == b"HELLO"


class TestFailures:
    """What cannot be made leaves nothing open."""

    def test_a_thousand_failed_binds_leak_nothing(self) -> None:
        with TCPServer(LOOPBACK, Upper) as taken, no_leaks(grace=0):
            for _ in range(1024):
                with pytest.raises(OSError, match="Address already in use"):
                    TCPServer(taken.server_address, Upper)

    @pytest.mark.parametrize("server_class", [TCPServer, UDPServer])
    @pytest.mark.parametrize("step", ["server_bind", "server_activate"])
    @pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
    def test_a_step_that_fails(self, server_class: type[TCPServer], step: str, error: type[BaseException]) -> None:
        def fail(self: object) -> None:
            raise error

        with no_leaks(grace=0), pytest.raises(error):
            type("Failing", (server_class,), {step: fail})(LOOPBACK, Upper)

    @pytest.mark.parametrize("settings", [{"max_conections": 1}, {"max_connections": 0}, {"tls_key": "key.pem"}])
    def test_settings_that_cannot_be(self, settings: dict[str, Any]) -> None:
        with no_leaks(grace=0), pytest.raises(SettingError):
            TCPServer(LOOPBACK, Upper, **settings)

    def test_an_address_that_is_not_ours(self) -> None:
        with no_leaks(grace=0), pytest.raises(OSError, match="assign requested address"):
            TCPServer(("192.0.2.1", 0), Upper)


def test_accepted_connections_block(serve: Serve) -> None:
    class Telling(Upper):
        def handle(self) -> None:
            blocking = os.get_blocking(self.request.fileno()) and self.request.gettimeout() is None
            self.wfile.write(b"blocks" if blocking else b"does not")

    assert serve(TCPServer, Telling).exchange(b"") == b"blocks"


def test_the_listener_blocks_again_after_serving(serve: Serve) -> None:
    service = serve(TCPServer, Upper)
    assert service.exchange(b"hello\n") == b"HELLO\n"
    service.server.shutdown()
    assert os.get_blocking(service.server.fileno())
    assert service.server.socket.gettimeout() is None
