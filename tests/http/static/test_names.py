"""Names of files that are no text in the file system's encoding, by whatever URL they are asked for."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.http.fetching import fetch
from tests.http.static.serving import ServeFiles


@pytest.mark.parametrize(
    "target",
    [
        "/%ff%FE.txt",
        "/%ED%B3%BF%ED%B3%BE.txt",  # as lists have it
    ],
)
@pytest.mark.parametrize("follow_links", [True, False])
def test_bytes_that_are_no_characters(target: str, follow_links: bool, serve_files: ServeFiles, folder: Path) -> None:
    _named(folder, b"\xff\xfe.txt").write_text("odd")
    assert fetch(serve_files(follow_links=follow_links), target).body == b"odd"


@pytest.mark.parametrize(
    "name", [b"\xff.txt", b"\xe2\x82.txt", b"a\nb\x1b[31m.txt", b"%ff.txt", b"<b>&\"'.txt", b" a ;#?.txt"]
)
def test_links_of_a_list_lead_to_their_files(name: bytes, serve_files: ServeFiles, folder: Path) -> None:
    directory = folder / "odd"
    directory.mkdir()
    _named(directory, name).write_text("found")
    files = serve_files()
    links = _Links()
    links.feed(fetch(files, "/odd/").body.decode("utf-8", "replace"))
    assert b"found" in [fetch(files, f"/odd/{link}").body for link in links.found if link[:1] not in ".?/"]


def test_surrogates_that_stand_for_no_byte_name_nothing(serve_files: ServeFiles) -> None:
    assert fetch(serve_files(), "/%ED%A0%80").status == 404


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value]


def _named(directory: Path, name: bytes) -> Path:
    path = directory / os.fsdecode(name)
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has no such names")
    return path
