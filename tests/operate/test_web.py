"""What the commands that serve HTTP share."""

from __future__ import annotations

import pytest

from doorkeep.errors import DoorkeepError, SettingError
from doorkeep.http.servers import HTTPServer
from doorkeep.operate import models
from doorkeep.operate.models import MODELS, Model
from doorkeep.operate.web import best_model, http_server_class, http_settings


@pytest.mark.parametrize("name", [name for name in MODELS if name != "async"])
def test_each_model_has_a_class(name: str) -> None:
    server_class = http_server_class(Model(name))
    assert issubclass(server_class, HTTPServer)
    assert server_class.__name__.startswith(models._WAYS[name].prefix)


def test_coroutines_have_none() -> None:
    with pytest.raises(SettingError, match="async runs coroutines"):
        http_server_class(Model("async"))


def test_the_best_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(model: Model) -> None:
        raise DoorkeepError("green needs greenlet")

    assert best_model() == Model("green")
    monkeypatch.setattr(Model, "check", check)
    assert best_model() == Model("thread")
    assert http_settings() == []


def test_settings() -> None:
    names = [entry.name for entry in http_settings()]
    assert {"host_required", "head_timeout", "idle_timeout", "tls_certificate", "pool_size", "max_children"} <= set(
        names
    )
    assert len(names) == len(set(names))
