"""Addresses: read, written, and claimed."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.addresses import (
    Address,
    family_of,
    format_address,
    host_of,
    ip_of,
    parse_address,
    remove_stale_socket,
)
from doorkeep.errors import AddressError

GOOD: list[tuple[str, str, Any]] = [
    ("tcp://127.0.0.1:9999", "tcp", ("127.0.0.1", 9999)),
    ("tcp://localhost:0", "tcp", ("localhost", 0)),
    ("tcp://[::]:9999", "tcp", ("::", 9999)),
    ("tcp://[fe80::1%eth0]:9999", "tcp", ("fe80::1%eth0", 9999)),
    ("udp://0.0.0.0:53", "udp", ("0.0.0.0", 53)),
    ("unix:/run/echo.sock", "unix", "/run/echo.sock"),
    ("unix:///run/echo.sock", "unix", "/run/echo.sock"),
    ("unix:echo.sock", "unix", "echo.sock"),
    ("unix:@echo", "unix", "\0echo"),
    ("unixgram:/run/log.sock", "unixgram", "/run/log.sock"),
    ("unixgram:@log", "unixgram", "\0log"),
]

WRITE_TCP = "write tcp://HOST:PORT, for instance tcp://[::]:9999"
WRITE_ANY = "write tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME or unixgram:PATH"

BAD: list[tuple[str, str]] = [
    ("", WRITE_ANY),
    ("9999", WRITE_ANY),
    ("127.0.0.1:9999", WRITE_ANY),
    ("http://127.0.0.1:9999", WRITE_ANY),
    ("tcp", WRITE_ANY),
    ("tcp:", WRITE_TCP),
    ("tcp:127.0.0.1:9999", WRITE_TCP),
    ("tcp://127.0.0.1", WRITE_TCP),
    ("tcp://:9999", WRITE_TCP),
    ("tcp://127.0.0.1:9999/path", WRITE_TCP),
    ("tcp://127.0.0.1:9999?query", WRITE_TCP),
    ("tcp://user@127.0.0.1:9999", WRITE_TCP),
    ("tcp://:secret@127.0.0.1:9999", WRITE_TCP),
    ("tcp://127.0.0.1:65536", "port out of range 0-65535"),
    ("tcp://127.0.0.1:http", "port could not be cast to integer value as 'http'"),
    ("tcp://[::1:9999", "invalid IPv6 URL"),
]


@pytest.mark.parametrize(("url", "scheme", "server_address"), GOOD)
def test_reads_urls(url: str, scheme: str, server_address: Any) -> None:
    address = parse_address(url)
    assert address == Address(scheme, server_address)
    assert address.datagrams is (scheme in ("udp", "unixgram"))
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(("url", "reason"), BAD)
def test_says_what_is_wrong_with_a_url(url: str, reason: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(url)
    assert str(caught.value) == f"{url!r} is no address: {reason}"


@pytest.mark.parametrize("url", ["unix:", "unix:@", "unix://", "unixgram:"])
def test_a_unix_socket_needs_a_path(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(url)
    assert str(caught.value) == f"{url!r} names no path: write unix:/run/echo.sock or unix:@name"


@given(st.text() | st.builds("{}:{}".format, st.sampled_from(["tcp", "udp", "unix"]), st.text()))
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    with contextlib.suppress(AddressError):
        address = parse_address(text)
        assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/echo.sock", "/run/echo.sock"),
        (b"\0echo", "@echo"),
        ("", "unnamed"),
        (None, "None"),
        (("only", "two", "texts"), "only:two"),
        ((5, 6), "(5, 6)"),
    ],
)
def test_writes_addresses_for_people(address: Any, text: str) -> None:
    assert format_address(address) == text


@pytest.mark.parametrize(
    ("server_address", "family"),
    [
        (("127.0.0.1", 0), socket.AF_INET),
        (("", 0), socket.AF_INET),
        (("localhost", 0), socket.AF_INET),
        (("::", 0), socket.AF_INET6),
        (("::1", 0, 0, 0), socket.AF_INET6),
        ("/run/echo.sock", socket.AF_UNIX),
        (b"\0echo", socket.AF_UNIX),
        (Path("echo.sock"), socket.AF_UNIX),
        (None, socket.AF_INET),
        ((), socket.AF_INET),
    ],
)
def test_the_family_follows_the_address(server_address: Any, family: int) -> None:
    assert family_of(server_address, socket.AF_INET) == family


def test_a_family_that_the_class_names_stays() -> None:
    assert family_of(("127.0.0.1", 0), socket.AF_INET6) == socket.AF_INET6
    assert family_of(("::1", 0), socket.AF_UNIX) == socket.AF_UNIX


@pytest.mark.parametrize(
    ("client_address", "host"),
    [
        (("127.0.0.1", 80), "127.0.0.1"),
        (("::1", 80, 0, 0), "::1"),
        (("::ffff:127.0.0.1", 80, 0, 0), "127.0.0.1"),
        (("fe80::1%eth0", 80, 0, 3), "fe80::1%eth0"),
        ("", None),
        (b"\0name", None),
        (None, None),
        ((), None),
        ((5, 6), None),
    ],
)
def test_the_host_of_a_client(client_address: Any, host: str | None) -> None:
    assert host_of(client_address) == host


@pytest.mark.parametrize(
    ("client_address", "address"),
    [
        (("::ffff:127.0.0.1", 80, 0, 0), ipaddress.ip_address("127.0.0.1")),
        (("fe80::1%eth0", 80, 0, 3), ipaddress.ip_address("fe80::1")),
        (("a name", 80), None),
        ("/run/client.sock", None),
    ],
)
def test_the_ip_address_of_a_client(client_address: Any, address: object) -> None:
    assert ip_of(client_address) == address


def test_removes_a_socket_file_that_nobody_listens_to(tmp_path: Path) -> None:
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    remove_stale_socket(str(path), socket.SOCK_STREAM)
    assert not path.exists()


def test_removes_one_of_datagrams_too(tmp_path: Path) -> None:
    path = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(os.fsencode(path))
    remove_stale_socket(os.fsencode(path), socket.SOCK_DGRAM)
    assert not path.exists()


@pytest.mark.parametrize("theirs", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("ours", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_leaves_a_live_server_its_socket_file(tmp_path: Path, theirs: int, ours: int) -> None:
    path = str(tmp_path / "alive")
    with socket.socket(socket.AF_UNIX, theirs) as server:
        server.bind(path)
        if theirs == socket.SOCK_STREAM:
            server.listen()
        with pytest.raises(OSError, match=f"a server already listens at {path}") as caught:
            remove_stale_socket(path, ours)
    assert caught.value.errno == errno.EADDRINUSE
    assert os.path.exists(path)


def test_a_live_server_with_a_full_backlog_is_alive(tmp_path: Path) -> None:
    path = str(tmp_path / "busy")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(0)
        client.connect(path)
        with pytest.raises(OSError, match="already listens"):
            remove_stale_socket(path, socket.SOCK_STREAM)


def test_leaves_what_is_no_socket_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    remove_stale_socket(str(path), socket.SOCK_STREAM)
    assert path.read_text() == "precious"


def test_follows_no_links(tmp_path: Path) -> None:
    path, link = tmp_path / "stale", tmp_path / "link"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    link.symlink_to(path)
    remove_stale_socket(str(link), socket.SOCK_STREAM)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert link.is_symlink()


@pytest.mark.parametrize("path", ["", None, "\0abstract", b"\0packed", "/nowhere/at/all"])
def test_does_nothing_where_there_is_no_file(path: Any) -> None:
    """Nothing is raised either."""
    remove_stale_socket(path, socket.SOCK_STREAM)


def test_does_nothing_where_the_file_goes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "going"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    status = path.lstat()
    path.unlink()
    monkeypatch.setattr(os, "lstat", lambda _: status)
    remove_stale_socket(str(path), socket.SOCK_STREAM)
    assert not path.exists()
