"""Settings as options."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from doorkeep.operate import models
from doorkeep.operate.options import add_options, all_settings, given_settings, option_of, shown


def parse(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_options(parser, {})
    return given_settings(parser.parse_args(arguments))


def test_each_setting_that_a_text_can_give_has_an_option() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, {})
    told = parser.format_help()
    names = {entry.name for entry in all_settings()}
    assert {name for name in names if f"{option_of(name)} " not in told} == {"ssl_context"}


def test_nothing_given() -> None:
    assert parse() == {}


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--max-connections", "5"], {"max_connections": 5}),
        (["--idle-timeout", "2.5"], {"idle_timeout": 2.5}),
        (["--idle-timeout", "None"], {"idle_timeout": None}),
        (["--at-limit=close"], {"at_limit": "close"}),
        (["--allow", "10.0.0.0/8, ::1"], {"allow": ("10.0.0.0/8", "::1")}),
        (["--socket-mode", "660"], {"socket_mode": 0o660}),
        (["--allow-reuse-port"], {"allow_reuse_port": True}),
        (["--no-block-on-close"], {"block_on_close": False}),
        (["--tls-alpn", "h2,http/1.1"], {"tls_alpn": ("h2", "http/1.1")}),
        (["--rate-limit", "100/minute"], {"rate_limit": "100/minute"}),
    ],
)
def test_given(arguments: list[str], settings: dict[str, Any]) -> None:
    assert parse(*arguments) == settings


def test_help_tells_the_defaults() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, {"drain_timeout": 5.0})
    told = " ".join(parser.format_help().split())
    assert "None: as long as they take (default: 5)" in told
    assert "how many children handle requests (default: 40)" in told


def test_a_system_without_unix_sockets_has_the_settings_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "AF_UNIX", None)
    pool_size = next(entry for entry in all_settings() if entry.name == "pool_size")
    assert set(pool_size.defaults) == {("pool", "tcp"), ("pool", "udp")}


@pytest.mark.parametrize(
    ("value", "text"), [(None, "None"), (True, "yes"), (False, "no"), (0.1, "0.1"), (10.0, "10"), ("wait", "wait")]
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text
