"""Settings: which there are, which values they take, and the sentences about those they do not take."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep import BaseRequestHandler, ForkingMixIn, TCPServer, ThreadPoolTCPServer, UDPServer
from doorkeep.errors import SettingError
from doorkeep.settings import parse_networks, settings_of
from tests import prerequisites

if TYPE_CHECKING:
    from decimal import Decimal

ADDRESS = ("127.0.0.1", 0)

GOOD: list[tuple[str, Any, Any]] = [
    ("max_connections", 1, 1),
    ("max_connections", None, None),
    ("request_queue_size", 0, 0),
    ("idle_timeout", 1, 1.0),
    ("idle_timeout", None, None),
    ("drain_timeout", 0, 0.0),
    ("at_limit", "close", "close"),
    ("allow_reuse_address", 1, True),
    ("socket_mode", 0o660, 0o660),
    ("allow", "10.0.0.0/8", ("10.0.0.0/8",)),
    ("allow", ipaddress.ip_network("10.0.0.0/8"), (ipaddress.ip_network("10.0.0.0/8"),)),
    ("allow", ipaddress.ip_address("::1"), (ipaddress.ip_address("::1"),)),
    ("deny", ["uid:0", "::1"], ("uid:0", "::1")),
    ("deny", (), ()),
    ("rate_limit_storage", "memory://", "memory://"),
]

WHOLE = "must be a whole number from 1 to 2147483647, or None"
SECONDS = "must be seconds above 0 and up to 2147483, or None"
NETWORKS = 'must be networks such as "10.0.0.0/8" or "::1", or for Unix sockets "uid:0" or "gid:0"'
NO_NETWORK = "does not appear to be an IPv4 or IPv6 network"
RATE = 'must be a rate such as "100/minute" or "10 per 5 seconds", or None'

BAD: list[tuple[str, Any, str]] = [
    ("max_connections", 0, f"{WHOLE}, not 0"),
    ("max_connections", -1, f"{WHOLE}, not -1"),
    ("max_connections", 1.0, f"{WHOLE}, not 1.0"),
    ("max_connections", True, f"{WHOLE}, not True"),
    ("max_connections", "5", f"{WHOLE}, not '5'"),
    ("max_connections", 1 << 31, f"{WHOLE}, not 2147483648"),
    ("pool_size", None, "must be a whole number from 1 to 2147483647, not None"),
    ("request_queue_size", -1, "must be a whole number from 0 to 2147483647, not -1"),
    ("idle_timeout", 0, f"{SECONDS}, not 0"),
    ("idle_timeout", -0.5, f"{SECONDS}, not -0.5"),
    ("idle_timeout", False, f"{SECONDS}, not False"),
    ("idle_timeout", "5", f"{SECONDS}, not '5'"),
    ("idle_timeout", float("nan"), f"{SECONDS}, not nan"),
    ("idle_timeout", float("inf"), f"{SECONDS}, not inf"),
    ("idle_timeout", 1e10, f"{SECONDS}, not 10000000000.0"),
    ("drain_timeout", -1, "must be seconds from 0 up to 2147483, or None, not -1"),
    ("thread_linger", None, "must be seconds from 0 up to 2147483, not None"),
    ("at_limit", "drop", "must be 'wait' or 'close', not 'drop'"),
    ("at_limit", None, "must be 'wait' or 'close', not None"),
    ("at_limit", ["wait"], "must be 'wait' or 'close', not ['wait']"),
    ("allow_reuse_address", 2, "must be True or False, not 2"),
    ("allow_reuse_address", "yes", "must be True or False, not 'yes'"),
    ("allow_reuse_address", None, "must be True or False, not None"),
    ("socket_mode", 0o1000, "must be a file mode such as 0o660, or None, not 512"),
    ("socket_mode", True, "must be a file mode such as 0o660, or None, not True"),
    ("socket_mode", "660", "must be a file mode such as 0o660, or None, not '660'"),
    ("rate_limit_storage", b"memory://", "must be a text, or None, not b'memory://'"),
    ("tls_certificate", 5, "must be a path, or None, not 5"),
    ("tls_certificate", "", "must be a path, or None, not ''"),
    ("tls_alpn", "h2", "must be a list of texts, or None, not 'h2'"),
    ("tls_alpn", 5, "must be a list of texts, or None, not 5"),
    ("tls_alpn", [b"h2"], "must be a list of texts, or None, not [b'h2']"),
    ("ssl_context", "context", "must be an ssl.SSLContext, or None, not 'context'"),
    ("rate_limit", "100", f"{RATE}, not '100'"),
    ("rate_limit", "0/minute", f"{RATE}, not '0/minute'"),
    ("rate_limit", "5 per 0 seconds", f"{RATE}, not '5 per 0 seconds'"),
    ("rate_limit", "5/minute; 9/hour", f"{RATE}, not '5/minute; 9/hour'"),
    ("rate_limit", 5, f"{RATE}, not 5"),
    ("allow", 5, f"{NETWORKS}, or None, not 5"),
    ("allow", b"\x7f\0\0\1", f"{NETWORKS}, or None, not b'\\x7f\\x00\\x00\\x01'"),
    ("allow", [["::1"]], f"{NETWORKS}, or None, not [['::1']]"),
    ("deny", ("10.0.0.0/8", None), f"{NETWORKS}, or None, not ('10.0.0.0/8', None)"),
    ("deny", "uid:root", f"{NETWORKS} ('uid:root' {NO_NETWORK}), or None, not 'uid:root'"),
    ("deny", "10.0.0.1/8", f"{NETWORKS} (10.0.0.1/8 has host bits set), or None, not '10.0.0.1/8'"),
    ("deny", "10.0.0.0/33", f"{NETWORKS} ('10.0.0.0/33' {NO_NETWORK}), or None, not '10.0.0.0/33'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "used"), GOOD)
def test_takes_good_values(name: str, value: Any, used: Any) -> None:
    with TCPServer(ADDRESS, BaseRequestHandler, **{name: value}) as server:
        assert getattr(server, name) == used
        assert type(getattr(server, name)) is type(used)


@pytest.mark.parametrize(("name", "value", "sentence"), BAD)
def test_refuses_bad_values_with_a_sentence(name: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        ThreadPoolTCPServer(ADDRESS, BaseRequestHandler, **{name: value})
    assert str(caught.value) == f"{name} {sentence}"


def test_takes_lists_that_can_be_read_once_only() -> None:
    networks = (f"10.{number}.0.0/16" for number in range(2))
    with TCPServer(ADDRESS, BaseRequestHandler, allow=networks) as server:
        assert server.allow == ("10.0.0.0/16", "10.1.0.0/16")


def test_takes_a_path_object_for_a_path(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"cannot read {tmp_path}/none: No such file"):
        TCPServer(ADDRESS, BaseRequestHandler, tls_certificate=tmp_path / "none")


def test_refuses_a_context_for_clients() -> None:
    with pytest.raises(SettingError, match="ssl_context must be a context for servers"):
        TCPServer(ADDRESS, BaseRequestHandler, ssl_context=ssl.create_default_context())


def test_suggests_the_name_that_was_meant() -> None:
    with pytest.raises(SettingError) as caught:
        TCPServer(ADDRESS, BaseRequestHandler, max_conections=5)
    assert str(caught.value) == "TCPServer has no setting 'max_conections'; did you mean 'max_connections'?"


def test_suggests_nothing_where_nothing_is_close() -> None:
    with pytest.raises(SettingError) as caught:
        TCPServer(ADDRESS, BaseRequestHandler, colour="red")
    assert str(caught.value) == "TCPServer has no setting 'colour'"


def test_sets_nothing_where_one_is_bad() -> None:
    class Seen(TCPServer):
        def __init__(self, **settings: Any) -> None:
            made.append(self)
            super().__init__(ADDRESS, BaseRequestHandler, **settings)

    made: list[Seen] = []
    with pytest.raises(SettingError):
        Seen(idle_timeout=5, max_connections=0)
    assert made[0].idle_timeout is None


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tls_key": "key.pem"}, "tls_key, tls_client_ca and tls_alpn need tls_certificate"),
        ({"tls_client_ca": "ca.pem"}, "tls_key, tls_client_ca and tls_alpn need tls_certificate"),
        ({"tls_alpn": ["h2"]}, "tls_key, tls_client_ca and tls_alpn need tls_certificate"),
        (
            {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "tls_certificate": "certificate.pem"},
            "give either ssl_context or tls_certificate, tls_key, tls_client_ca and tls_alpn",
        ),
    ],
)
def test_refuses_contradictions(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        TCPServer(ADDRESS, BaseRequestHandler, **settings)
    assert str(caught.value) == sentence


STREAMS_ONLY = {
    "request_queue_size", "handshake_timeout", "idle_timeout", "request_timeout",
    "ssl_context", "tls_certificate", "tls_key", "tls_client_ca", "tls_alpn",
}  # fmt: skip


def test_knows_what_means_nothing_to_datagrams() -> None:
    assert {name for name, setting in settings_of(UDPServer).items() if setting.streams_only} == STREAMS_ONLY


@pytest.mark.parametrize("name", ["handshake_timeout", "idle_timeout", "request_timeout", "request_queue_size"])
def test_refuses_for_datagrams_what_means_nothing_to_them(name: str) -> None:
    settings: dict[str, Any] = {name: 5}
    with pytest.raises(SettingError) as caught:
        UDPServer(ADDRESS, BaseRequestHandler, **settings)
    assert str(caught.value) == f"{name} is for connections; UDPServer serves datagrams"


def test_lets_none_pass_for_datagrams() -> None:
    with UDPServer(ADDRESS, BaseRequestHandler, idle_timeout=None, tls_certificate=None) as server:
        assert (server.idle_timeout, server.tls_certificate) == (None, None)


def test_class_attributes_are_settings_too() -> None:
    class Small(TCPServer):
        max_connections = 3

    with Small(ADDRESS, BaseRequestHandler) as server:
        assert server.max_connections == 3
    with Small(ADDRESS, BaseRequestHandler, max_connections=None) as server:
        assert server.max_connections is None


def test_a_mixins_settings_are_those_of_the_server() -> None:
    assert "max_children" not in settings_of(TCPServer)
    assert "max_children" in settings_of(type("Forking", (ForkingMixIn, TCPServer), {}))


def test_every_setting_has_a_value_of_its_own_kind() -> None:
    """Each class attribute is what its own check lets through, and is optional exactly if it may be None."""
    for server_class in (ThreadPoolTCPServer, type("Forking", (ForkingMixIn, UDPServer), {})):
        for name, setting in settings_of(server_class).items():
            value = getattr(server_class, name)
            assert (value is None and setting.optional) or setting.kind.check(value) == value, name


def test_leaves_the_annotations_of_programs_alone() -> None:
    class Theirs(TCPServer):
        imported_for_type_checkers_alone: Decimal
        other: Annotated[int, "no setting of ours"]

    assert settings_of(Theirs) == settings_of(TCPServer)


def test_hands_out_a_table_of_its_own() -> None:
    settings_of(TCPServer).clear()
    assert "idle_timeout" in settings_of(TCPServer)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_connections", "5", 5),
        ("idle_timeout", "2.5", 2.5),
        ("allow_reuse_address", "Yes", True),
        ("allow_reuse_address", "off", False),
        ("socket_mode", "660", 0o660),
        ("allow", "10.0.0.0/8, ::1,", ("10.0.0.0/8", "::1")),
        ("tls_alpn", "h2,http/1.1", ("h2", "http/1.1")),
        ("tls_certificate", "server.pem", "server.pem"),
        ("at_limit", "close", "close"),
        ("rate_limit", "5/minute", "5/minute"),
    ],
)
def test_reads_values_from_texts(name: str, text: str, value: Any) -> None:
    kind = settings_of(TCPServer)[name].kind
    assert kind.check(kind.parse(text)) == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("max_connections", "many", "must be a whole number"),
        ("idle_timeout", "soon", "must be a number of seconds"),
        ("allow_reuse_address", "perhaps", "must be yes or no"),
        ("socket_mode", "rw", "must be an octal file mode such as 660"),
        ("ssl_context", "context", "cannot be given as a text"),
    ],
)
def test_says_why_a_text_cannot_be_read(name: str, text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        settings_of(TCPServer)[name].kind.parse(text)


def test_access_lists_name_networks_and_owners() -> None:
    access = parse_networks(("10.0.0.0/8", "::1", "uid:5", "uid:6", "gid:7"))
    assert access.networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert access.uids == {5, 6}
    assert access.gids == {7}


@pytest.mark.parametrize(
    ("mapped", "plain"),
    [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:127.0.0.1", "127.0.0.1/32"), ("::ffff:0:0/96", "0.0.0.0/0")],
)
def test_networks_of_mapped_addresses_are_the_ipv4_networks(mapped: str, plain: str) -> None:
    assert parse_networks((mapped,)).networks == (ipaddress.ip_network(plain),)


@pytest.mark.parametrize("network", ["::/0", "::ffff:0:0/95", "2001:db8::/32"])
def test_other_ipv6_networks_stay(network: str) -> None:
    (parsed,) = parse_networks((ipaddress.ip_network(network, strict=False),)).networks
    assert parsed.version == 6


@given(
    amount=st.integers(1, 10**12),
    separator=st.sampled_from(["/", " / ", " per ", "per", " PER "]),
    multiple=st.none() | st.integers(1, 10**6),
    unit=st.sampled_from(["second", "minutes", "Hour", "days"]),
)
def test_every_rate_that_passes_is_one_that_the_library_reads(
    amount: int, separator: str, multiple: int | None, unit: str
) -> None:
    prerequisites.module("limits")
    from limits import parse

    text = f"{amount}{separator}{multiple or ''}{unit}"
    assert settings_of(TCPServer)["rate_limit"].kind.check(text) == text
    item = parse(text)
    assert (item.amount, item.multiples) == (amount, multiple or 1)


@given(value=st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.text())))
def test_no_value_makes_a_check_fail_otherwise(value: Any) -> None:
    """Whatever a program hands over, a check returns a value that passes again, or raises `ValueError`."""
    for setting in settings_of(ThreadPoolTCPServer).values():
        try:
            used = setting.kind.check(value)
        except ValueError:
            continue
        assert setting.kind.check(used) == used
