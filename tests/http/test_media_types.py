"""Media types by extension."""

from __future__ import annotations

import mimetypes

import pytest

from doorkeep.http.media_types import media_type_of


@pytest.mark.parametrize(
    ("extension", "media_type"),
    [
        (".html", "text/html"),
        (".HTML", "text/html"),
        (".webp", "image/webp"),
        (".br", "application/octet-stream"),
        (".unheard-of", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_by_extension(extension: str, media_type: str) -> None:
    assert media_type_of(extension) == media_type


def test_extensions_that_stand_for_several() -> None:
    assert "tar" in media_type_of(".tgz")


def test_a_type_that_the_program_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mimetypes.types_map, ".unheard-of", "text/x-unheard-of")
    assert media_type_of(".unheard-of") == "text/x-unheard-of"


def test_before_mimetypes_has_read_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "inited", False)
    assert media_type_of(".css") == "text/css"
    assert mimetypes.inited
