"""As whom programs run, and which may be run."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from pathlib import Path
from unittest import mock

import pytest

from doorkeep.http import cgi
from doorkeep.http.cgi import executable, nobody_uid


@pytest.fixture(autouse=True)
def as_ourselves() -> None:
    """Not in these."""


def test_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    find_out = nobody_uid.__wrapped__
    assert pwd.getpwuid(find_out()).pw_name == "nobody"
    monkeypatch.setattr(pwd, "getpwnam", mock.Mock(side_effect=KeyError))
    assert find_out() == 1 + max(user.pw_uid for user in pwd.getpwall())
    monkeypatch.setitem(sys.modules, "pwd", None)
    assert find_out() == -1


@pytest.mark.parametrize(("user", "given"), [(1000, set()), (0, {"user", "group", "extra_groups"})])
def test_root_gives_its_rights_away(user: int, given: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert set(cgi._unprivileged()) == given


def test_a_nobody_that_is_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cgi, "nobody_uid", lambda: 4_000_000)
    assert cgi._unprivileged() == {"user": 4_000_000, "group": 4_000_000, "extra_groups": []}


def test_executable(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o644)
    assert not executable(str(path))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert executable(str(path))
