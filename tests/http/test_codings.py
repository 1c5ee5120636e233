"""Which content coding a client prefers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http.codings import EXTENSIONS, acceptable_codings


@pytest.mark.parametrize(
    ("field", "codings"),
    [
        (None, ()),
        ("", ()),
        ("identity", ()),
        ("gzip", ("gzip",)),
        ("x-gzip", ("gzip",)),
        ("GZIP", ("gzip",)),
        ("gzip, deflate", ("gzip",)),
        ("gzip, deflate, br, zstd", ("br", "zstd", "gzip")),
        ("gzip;q=1.0, br;q=0.5", ("gzip", "br")),
        ("gzip ; q=0.8 , br ; Q=0.9", ("br", "gzip")),
        ("gzip;q=0", ()),
        ("gzip;q=0.000, br", ("br",)),
        ("*", ("br", "zstd", "gzip")),
        ("*;q=0", ()),
        ("br;q=0, *", ("zstd", "gzip")),
        ("gzip;q=0.5, *;q=0.1", ("gzip", "br", "zstd")),
        ("gzip;q=0.5, identity;q=0.8", ()),
        ("gzip;q=0.5, identity;q=0.5", ("gzip",)),
        ("gzip;q=2", ()),
        ("gzip;q=", ()),
        ("gzip;level=9", ()),
        ("compress", ()),
    ],
)
def test_acceptable(field: str | None, codings: tuple[str, ...]) -> None:
    assert acceptable_codings(field) == codings


@given(st.text(alphabet="gzipbr*;q=01.,- ", max_size=40))
def test_whatever_comes(field: str) -> None:
    assert set(acceptable_codings(field)) <= set(EXTENSIONS)
