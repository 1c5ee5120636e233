"""The page that lists a directory. It needs no script, and nothing from elsewhere."""

from __future__ import annotations

import html
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from doorkeep.http.paths import Entry

__all__ = ["Order", "listing_page"]

_KEYS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: (),
    "size": lambda entry: 0 if entry.is_directory else entry.status.st_size,
    "modified": lambda entry: entry.status.st_mtime_ns,
}
_QUERY = re.compile(rf"sort=(?P<key>{'|'.join(_KEYS)})(?P<descending>&order=desc)?")
_DIGITS = re.compile(r"([0-9]+)", re.ASCII)


class Order(NamedTuple):
    """How a listing is sorted: by "name", "size" or "modified". Directories always come first."""

    key: str = "name"
    descending: bool = False

    @classmethod
    def of_query(cls, query: str) -> Order | None:
        """Return the order that a query asks for; None if it is about something else."""
        found = _QUERY.fullmatch(query)
        return found and cls(found["key"], found["descending"] is not None)

    @property
    def query(self) -> str:
        """The query that asks for this order."""
        return f"sort={self.key}" + ("&order=desc" if self.descending else "")

    def apply(self, entries: Iterable[Entry]) -> list[Entry]:
        """Return entries in this order; numbers in names count as numbers, and upper case as lower."""
        key = _KEYS[self.key]
        found = sorted(entries, key=lambda entry: _name_key(entry.name))
        found.sort(key=key, reverse=self.descending and self.key != "name")
        if self.descending and self.key == "name":
            found.reverse()
        found.sort(key=lambda entry: not entry.is_directory)
        return found


def listing_page(path: str, entries: Sequence[Entry], order: Order | None, charset: str) -> bytes:
    """Return the page for a directory.

    `path` is what the request names, as it is encoded there; its query, if any, is that of `order` or, if that is
    None, part of what is shown. `charset` encodes the page; bytes of names that are none of its characters stay as
    they are.
    """
    shown = path.partition("?")[0] if order is not None else path
    title = f"Directory listing for {_escape(_decoded(shown))}"
    sorted_by = order or Order()
    rows = "".join(map(_row, sorted_by.apply(entries)))
    page = _PAGE.format(
        charset=charset,
        title=title,
        style=_STYLE,
        way=_way(path.partition("?")[0]),
        columns="".join(_column(key, label, sorted_by) for key, label in _COLUMNS),
        up=_UP if path.partition("?")[0].strip("/") else "",
        rows=rows or _NOTHING,
        summary=_summary(entries),
    )
    return page.encode(charset, "surrogateescape")


def _row(entry: Entry) -> str:
    name = entry.name
    slash = "/" if entry.is_directory else ""
    # As the standard module has it: a link to a directory is shown with "@" and leads to "/".
    mark = "@" if entry.is_link else slash
    href = quote(name + slash, errors="surrogatepass")
    kind = "directory" if entry.is_directory else "file"
    return (
        f'<tr class="{kind}"><td><a href="{href}">{_escape(name + mark)}</a></td>'
        f"<td>{_size(entry.status)}</td><td>{_time(entry.status.st_mtime)}</td></tr>\n"
    )


def _column(key: str, label: str, order: Order) -> str:
    """Return the head of a column, a link that sorts by it, or turns the order round if it is by this column."""
    chosen = key == order.key
    link = Order(key, chosen and not order.descending)
    state = f' aria-sort="{"descending" if order.descending else "ascending"}"' if chosen else ""
    return f'<th scope="col"{state}><a href="?{html.escape(link.query)}">{label}</a></th>'


def _way(path: str) -> str:
    """Return links to the directories above, the uppermost first, and the name of the directory itself."""
    names = [_escape(_decoded(name)) for name in path.split("/") if name]
    above = ["top", *names[:-1]] if names else []
    links = [f'<a href="{"../" * (len(above) - level)}">{name}</a>' for level, name in enumerate(above)]
    return " / ".join([*links, names[-1] if names else "top"])


def _summary(entries: Sequence[Entry]) -> str:
    files = [entry for entry in entries if not entry.is_directory]
    total = sum(entry.status.st_size for entry in files)
    return (
        f"{_count(len(entries) - len(files), 'directory', 'directories')}, "
        f"{_count(len(files), 'file', 'files')}, {_bytes(total)}"
    )


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number:,} {singular if number == 1 else plural}"


def _size(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return ""
    return f'<span title="{_count(status.st_size, "byte", "bytes")}">{_bytes(status.st_size)}</span>'


def _bytes(number: int) -> str:
    if number < 1000:
        return _count(number, "byte", "bytes")
    power = 1
    while number >= 999.5 * 1000**power:  # what would be rounded to 1000
        power += 1
    scaled = number / 1000**power
    return f"{scaled:.{1 if scaled < 9.95 else 0}f} {_UNITS[power]}"


def _time(seconds: float) -> str:
    try:
        at = time.gmtime(seconds)
    except (OverflowError, ValueError, OSError):  # a year that the calendar of the system does not have
        return ""
    return f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}">{time.strftime("%Y-%m-%d %H:%M", at)}</time>'


def _name_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return what names are sorted by: the digits of odd pieces as numbers."""
    pieces = _DIGITS.split(name.casefold())
    # By their count of digits and then the digits, as Python refuses to read very long numbers.
    numbered = [
        (len(digits := piece.lstrip("0")), digits) if index % 2 else (0, piece) for index, piece in enumerate(pieces)
    ]
    return numbered, name


def _decoded(path: str) -> str:
    try:
        return unquote(path, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(path)


def _escape(text: str) -> str:
    # Without the surrogates that stand for no byte: no charset can encode them.
    return html.escape(_SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text), quote=False)


_SURROGATES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_COLUMNS = (("name", "Name"), ("size", "Size"), ("modified", "Modified (UTC)"))
_UP = '<tr class="directory up"><td><a href="../">Up</a></td><td></td><td></td></tr>\n'
_NOTHING = '<tr><td colspan="3" class="nothing">Nothing is here.</td></tr>\n'

# A folder and a sheet of paper, drawn as masks so that they have the colour of their text.
_STYLE = """\
:root { color-scheme: light dark; --ink: #1d2125; --faint: #626a73; --line: #dfe3e8; --link: #0b57b0; --over: #f1f5fa;
  --paper: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --faint: #98a1ab; --line: #31373e; --link: #84b7f5; --over: #22272d; --paper: #16191d }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { margin: 0; font-size: 1.3rem; line-height: 1.3; overflow-wrap: anywhere }
nav, footer, .nothing { color: var(--faint) }
nav { margin: .25rem 0 1rem; overflow-wrap: anywhere }
a { color: var(--link); text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { padding: 0 .6rem; text-align: left; font-weight: 600; white-space: nowrap; border-bottom: 2px solid var(--line) }
th a { display: inline-block; padding: .4rem 0; color: inherit }
th[aria-sort=ascending] a::after { content: " \\25B2"; font-size: .7em }
th[aria-sort=descending] a::after { content: " \\25BC"; font-size: .7em }
td { padding: 0 .6rem; border-bottom: 1px solid var(--line); color: var(--faint); white-space: nowrap }
td:nth-child(2), th:nth-child(2) { text-align: right }
td:first-child, th:first-child { width: 100%; padding-left: 0 }
td:first-child { white-space: normal; overflow-wrap: anywhere }
td a { display: flex; gap: .6rem; align-items: baseline; padding: .45rem 0; unicode-bidi: isolate }
td a::before { content: ""; flex: none; width: 1em; height: 1em; transform: translateY(.15em); opacity: .75;
  background: currentColor; mask: var(--icon) center / contain no-repeat;
  -webkit-mask: var(--icon) center / contain no-repeat }
tr { --icon: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Cpath d='M3 0h6v5h5v11H3zM10 0l4 4h-4z'/%3E%3C/svg%3E") }
.directory { --icon: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Cpath d='M0 2h6l2 2h8v10H0z'/%3E%3C/svg%3E") }
.up { --icon: url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Cpath d='M8 1l6 6-1.5 1.5L9 5v10H7V5L3.5 8.5 2 7z'/%3E%3C/svg%3E") }
tbody tr:hover { background: var(--over) }
.nothing { padding: 1rem 0 }
footer { margin-top: 1rem; font-size: .9rem }
@media (max-width: 40rem) {
  thead tr, tbody tr { display: flex; flex-wrap: wrap; column-gap: 1rem; border-bottom: 1px solid var(--line) }
  th, td { border: 0; padding: 0 }
  th:first-child, td:first-child { width: auto }
  td:first-child { flex: 1 0 100% }
  td a { padding: .65rem 0 0 }
  td:not(:first-child) { padding: 0 0 .55rem 1.6rem; font-size: .85rem }
  td:not(:first-child):empty { display: none }
  td:nth-child(3) { padding-left: 0 }
  td:nth-child(2):empty + td { padding-left: 1.6rem }
  .up td { padding-bottom: .65rem }
}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="{charset}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
<nav aria-label="Directories above">{way}</nav>
<table>
<thead><tr>{columns}</tr></thead>
<tbody>
{up}{rows}</tbody>
</table>
<footer>{summary}</footer>
</body>
</html>
"""
