"""Paths in URLs, without what leads elsewhere."""

from __future__ import annotations

import pytest

from doorkeep.http.cgi import _url_collapse_path


@pytest.mark.parametrize(
    ("path", "collapsed"),
    [
        ("", "//"),
        ("a", "//a"),
        ("/a/b", "/a/b"),
        ("/a//./b/", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2e/b?c/../d", "//b?c/../d"),
        ("/a/.", "/a/"),
    ],
)
def test_collapsed_paths(path: str, collapsed: str) -> None:
    assert _url_collapse_path(path) == collapsed


@pytest.mark.parametrize("path", ["..", "/..", "/a/../..", "/a/../../b", "/%2e%2e/a"])
def test_a_path_that_climbs_out(path: str) -> None:
    with pytest.raises(IndexError):
        _url_collapse_path(path)
