"""Concurrency models by name."""

from __future__ import annotations

import itertools

import pytest

import doorkeep
from doorkeep import DoorkeepError, SettingError
from doorkeep.concurrency import forks
from doorkeep.operate import models
from doorkeep.operate.models import MODELS, SCHEMES, Model
from doorkeep.settings import settings_of


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("thread", {}),
        ("thread:5", {"max_connections": 5}),
        ("pool", {}),
        ("pool:64", {"pool_size": 64}),
        ("fork:3", {"max_children": 3}),
        ("sync", {}),
    ],
)
def test_a_model_by_its_name(text: str, settings: dict[str, int]) -> None:
    model = Model.parse(text)
    assert str(model) == text
    assert model.settings == settings


@pytest.mark.parametrize("text", ["", "threads", "pool:", "pool:0", "pool:-1", "pool:x", "pool:²", "sync:1", ":3"])
def test_no_model(text: str) -> None:
    with pytest.raises(SettingError):
        Model.parse(text)


def test_a_class_for_each_model_and_scheme() -> None:
    classes = {
        (model, scheme): Model(model).server_class(scheme) for model, scheme in itertools.product(MODELS, SCHEMES)
    }
    assert len(set(classes.values())) == len(MODELS) * len(SCHEMES)
    assert classes["thread", "tcp"] is doorkeep.ThreadingTCPServer
    assert classes["pool", "udp"] is doorkeep.ThreadPoolUDPServer
    assert classes["fork", "unix"] is doorkeep.ForkingUnixStreamServer
    assert classes["sync", "unixgram"] is doorkeep.UnixDatagramServer


@pytest.mark.parametrize("model", [model for model in MODELS if model != "sync"])
def test_the_size_is_a_setting_of_each_class(model: str) -> None:
    for scheme in SCHEMES:
        assert Model(model, 1).settings.keys() <= settings_of(Model(model).server_class(scheme)).keys()


def test_a_system_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(forks, "ForkingTCPServer")
    with pytest.raises(DoorkeepError, match="this system cannot serve tcp: with fork"):
        Model("fork").server_class("tcp")


def test_a_system_without_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "AF_UNIX", None)
    with pytest.raises(DoorkeepError, match="this system cannot serve unix: with sync"):
        Model("sync").server_class("unix")
