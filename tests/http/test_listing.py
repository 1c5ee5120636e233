"""The page that lists a directory."""

from __future__ import annotations

import os
import re
import stat
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http.listing import Order, listing_page
from doorkeep.http.paths import Entry


def entry(
    name: str, size: int = 1, modified: float = 0, *, directory: bool = False, link: bool = False, kind: int = 0
) -> Entry:
    mode = kind or (stat.S_IFDIR if directory else stat.S_IFREG)
    fields = [mode, 0, 0, 1, 0, 0, size, 0, int(modified), 0]
    return Entry(name, os.stat_result(fields, {"st_mtime": modified, "st_mtime_ns": int(modified * 10**9)}), link)


class Page(HTMLParser):
    """A page as a browser reads it: the links with their texts, and other texts by element."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {}
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.sorted_by: dict[str, str] = {}
        self.feed(page.decode("utf-8", "surrogateescape"))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("meta", "br"):
            return
        self._open.append(tag)
        given = dict(attributes)
        if tag == "a":
            self.links.append((given["href"] or "", ""))
        if "aria-sort" in given:
            self.sorted_by["column"] = given["aria-sort"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        innermost = self._open[-1]
        self.texts[innermost] = self.texts.get(innermost, "") + data
        if innermost == "a":
            href, before = self.links[-1]
            self.links[-1] = href, before + data

    def files(self) -> list[str]:
        """Return the names that are listed."""
        return [text for href, text in self.links if not href.startswith(("?", "../", "./"))]


def page_of(*entries: Entry, path: str = "/dir/", order: Order | None = None) -> Page:
    return Page(listing_page(path, entries, order, "utf-8"))


def test_what_is_in_it() -> None:
    page = listing_page("/a%20b/", [entry("c d.txt", 1234, 86400), entry("sub", directory=True)], None, "utf-8")
    assert b"<title>Directory listing for /a b/</title>" in page
    assert b"<h1>Directory listing for /a b/</h1>" in page
    assert b'<a href="c%20d.txt">c d.txt</a>' in page
    assert b'<a href="sub/">sub/</a>' in page
    assert b'title="1,234 bytes">1.2 kB<' in page
    assert b'<time datetime="1970-01-02T00:00:00Z">1970-01-02 00:00</time>' in page
    assert b"1 directory, 1 file, 1.2 kB" in page
    assert b'<a href="../">Up</a>' in page


def test_nothing() -> None:
    page = listing_page("/", [], None, "utf-8")
    assert b"Nothing is here." in page
    assert b"../" not in page


def test_needs_nothing_from_elsewhere() -> None:
    page = listing_page("/", [entry("a")], None, "utf-8")
    assert Page(page).tags.isdisjoint({"script", "link", "img", "iframe"})
    assert set(re.findall(rb"https?://[^'\"]*", page)) == {b"http://www.w3.org/2000/svg"}  # which is a name


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "a&b&amp;c",
        "\"double\" and 'single'",
        "two\nlines",
        "javascript:alert(1)",
        "?sort=name",
        "#fragment",
        "100%25",
        "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
        "Übergröße.txt",
        "caf\udce9.txt",
        " ",
    ],
)
def test_strange_names(name: str) -> None:
    page = page_of(entry(name))
    assert page.files() == [name]
    (href,) = [href for href, text in page.links if text == name]
    assert unquote(href, errors="surrogatepass") == name
    assert ":" not in href
    assert page.tags.isdisjoint({"script"})


@given(st.text(min_size=1, max_size=30).filter(lambda name: "\0" not in name and "\r" not in name))
def test_any_name(name: str) -> None:
    (shown,) = page_of(entry(name)).files()
    assert shown == re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/<b>/", "/<b>/"),
        ("/%3Cb%3E/", "/<b>/"),
        ("/?x=123", "/?x=123"),
        ("/?x=%bb", "/?x=\N{REPLACEMENT CHARACTER}"),
        ("/?x=%ED%A0%80", "/?x=\N{REPLACEMENT CHARACTER}"),
        ("/caf%ED%B3%A9/", "/caf\udce9/"),
        ("/</title><script>", "/</title><script>"),
    ],
)
def test_title(path: str, shown: str) -> None:
    page = page_of(path=path)
    assert page.texts["title"] == page.texts["h1"] == f"Directory listing for {shown}"
    assert "script" not in page.tags


def test_a_query_that_sorts_is_no_part_of_the_title() -> None:
    assert page_of(path="/dir/?sort=size", order=Order("size")).texts["h1"] == "Directory listing for /dir/"


def test_links_above() -> None:
    page = page_of(path="/one/t%2Fwo/three/")
    assert [(href, text) for href, text in page.links if href.startswith("../")][:3] == [
        ("../../../", "top"),
        ("../../", "one"),
        ("../", "t/wo"),
    ]


def test_marks() -> None:
    page = page_of(entry("link", link=True), entry("linked", directory=True, link=True))
    assert [link for link in page.links if link[1].endswith("@")] == [("linked/", "linked@"), ("link", "link@")]


def test_a_size_is_of_files_alone() -> None:
    page = listing_page("/", [entry("fifo", kind=stat.S_IFIFO), entry("sub", 4096, directory=True)], None, "utf-8")
    assert b"4,096" not in page
    assert page.count(b"<td></td>") == 2


FILES = [
    entry("b10", 5, 300),
    entry("B9", 7, 100),
    entry("a" + "7" * 5000, 1, 500),
    entry("a0012", 7, 200),
    entry("dir2", 99, 400, directory=True),
    entry("dir1", 1, 900, directory=True),
]
LONG = "a" + "7" * 5000


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sort=name", ["dir1", "dir2", "a0012", LONG, "B9", "b10"]),
        ("sort=name&order=desc", ["dir2", "dir1", "b10", "B9", LONG, "a0012"]),
        ("sort=size", ["dir1", "dir2", LONG, "b10", "a0012", "B9"]),
        ("sort=size&order=desc", ["dir1", "dir2", "a0012", "B9", "b10", LONG]),
        ("sort=modified", ["dir2", "dir1", "B9", "a0012", "b10", LONG]),
        ("sort=modified&order=desc", ["dir1", "dir2", LONG, "b10", "a0012", "B9"]),
    ],
)
def test_order(query: str, names: list[str]) -> None:
    order = Order.of_query(query)
    assert order is not None
    assert order.query == query
    page = page_of(*FILES, order=order)
    assert [name.rstrip("/") for name in page.files()] == names
    assert page.sorted_by["column"] == ("descending" if order.descending else "ascending")
    # A click turns the order round, or sorts by another column.
    turned = Order(order.key, not order.descending)
    assert [href for href, _ in page.links if href.startswith("?")] == [
        f"?{(turned if key == order.key else Order(key)).query}" for key in ("name", "size", "modified")
    ]


@pytest.mark.parametrize("query", ["", "x=1", "sort=", "sort=colour", "sort=size&order=up", "sort=size&x=1"])
def test_no_order(query: str) -> None:
    assert Order.of_query(query) is None


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (10**12, "1.0 TB"),
        (2**63 - 1, "9.2 EB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert f">{shown}<".encode() in listing_page("/", [entry("a", size)], None, "utf-8")


@pytest.mark.parametrize(("size", "title"), [(1, "1 byte"), (1234567, "1,234,567 bytes")])
def test_the_size_to_the_byte(size: int, title: str) -> None:
    assert f'title="{title}"'.encode() in listing_page("/", [entry("a", size)], None, "utf-8")


def test_a_time_beyond_the_calendar() -> None:
    assert b"<time" not in listing_page("/", [entry("a", modified=1e18)], None, "utf-8")
