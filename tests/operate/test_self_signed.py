"""Certificates that are made at the start."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

import pytest

from doorkeep.errors import DoorkeepError
from doorkeep.operate.self_signed import self_signed_context
from tests import prerequisites


def test_names_and_addresses(tmp_path: Path) -> None:
    prerequisites.command("openssl")
    context, fingerprint = self_signed_context(["localhost", "127.0.0.1", "fe80::1%eth0", "localhost"])
    assert len(bytes.fromhex(fingerprint.replace(":", ""))) == 32
    assert isinstance(context, ssl.SSLContext)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DoorkeepError, match=r"needs the program openssl, and there is none here"):
        self_signed_context(["localhost"])


@pytest.mark.parametrize(("said", "told"), [("echo first >&2; echo last >&2", "last"), (":", "nothing")])
def test_a_program_that_fails(said: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "openssl"
    program.write_text(f"#!/bin/sh\n{said}\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DoorkeepError, match=f"openssl could not make a certificate; it said: {told}$"):
        self_signed_context(["localhost"])
