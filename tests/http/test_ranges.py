"""Which bytes a Range field asks for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http.ranges import content_range, multipart, parse_ranges


@pytest.mark.parametrize(
    ("field", "found"),
    [
        # RFC 9110, section 14.1.2
        ("bytes=0-4", [(0, 5)]),
        ("bytes=5-", [(5, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=0-0,-1", [(0, 1), (9, 10)]),
        ("bytes=8-100", [(8, 10)]),
        ("bytes= 0-4 , 6-7", [(0, 5), (6, 8)]),
        ("bytes=6-7,0-4", [(6, 8), (0, 5)]),
        ("Bytes=0-4", [(0, 5)]),
        ("bytes=0-4,,6-7,", [(0, 5), (6, 8)]),
        ("bytes=0-" + "9" * 5000, [(0, 10)]),
        ("bytes=000000000000000000000000001-2", [(1, 3)]),
        # one that cannot be had beside one that can
        ("bytes=0-4,100-200", [(0, 5)]),
        # none that can be had: 416
        ("bytes=10-", []),
        ("bytes=10-20", []),
        ("bytes=-0", []),
        ("bytes=" + "9" * 5000 + "-", []),
        # no valid field: to be ignored
        ("bytes=4-2", None),
        ("bytes=0-4,4-2", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=--1", None),
        ("bytes=0-4-5", None),
        ("bytes=a-b", None),
        ("bytes=0x1-2", None),
        ("bytes=+1-2", None),
        ("bytes=\u0663-\u0664", None),
        ("bytes 0-4", None),
        ("lines=0-4", None),
        ("", None),
        # too many, or too much
        ("bytes=" + ",".join(["0-0"] * 10), [(0, 1)] * 10),
        ("bytes=" + ",".join(["0-0"] * 11), None),
        ("bytes=0-,0-", None),
        ("bytes=0-5,4-9", None),
    ],
)
def test_of_ten_bytes(field: str, found: list[tuple[int, int]] | None) -> None:
    parsed = parse_ranges(field, 10)
    assert (None if parsed is None else [(part.start, part.stop) for part in parsed]) == found


def test_a_hundred_ranges_and_no_more() -> None:
    one_by_one = [f"{first}-{first}" for first in range(101)]
    assert len(parse_ranges("bytes=" + ",".join(one_by_one[:100]), 1000) or ()) == 100
    assert parse_ranges("bytes=" + ",".join(one_by_one), 1000) is None


@pytest.mark.parametrize(
    ("field", "found"), [("bytes=0-", []), ("bytes=0-0", []), ("bytes=-0", []), ("bytes=-5", None)]
)
def test_of_nothing(field: str, found: list[range] | None) -> None:
    assert parse_ranges(field, 0) == found


@given(st.text(alphabet="bytes=0123456789-, x", max_size=40), st.integers(0, 50))
def test_whatever_comes(text: str, size: int) -> None:
    for field in (text, f"bytes={text}"):
        parsed = parse_ranges(field, size)
        if parsed:
            assert all(0 <= part.start < part.stop <= size for part in parsed)
            assert len(parsed) == 1 or sum(map(len, parsed)) <= size


@given(st.binary(min_size=1, max_size=200), st.data())
def test_one_range_is_a_slice(content: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(content) - 1))
    last = data.draw(st.integers(first, len(content) * 2))
    parsed = parse_ranges(f"bytes={first}-{last}", len(content))
    assert parsed is not None
    assert [content[part.start : part.stop] for part in parsed] == [content[first : last + 1]]


def test_content_range() -> None:
    assert content_range(range(5), 10) == "bytes 0-4/10"
    assert content_range(None, 10) == "bytes */10"


def test_multipart() -> None:
    content = b"0123456789"
    pieces = multipart([range(2), range(8, 10)], 10, "text/plain", "EDGE")
    sent = b"".join(piece if isinstance(piece, bytes) else content[piece.start : piece.stop] for piece in pieces)
    assert sent == (
        b"--EDGE\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--EDGE\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        b"\r\n--EDGE--\r\n"
    )
    assert sum(map(len, pieces)) == len(sent)
    assert re.fullmatch(rb"(?s)--EDGE\r\n.*\r\n--EDGE--\r\n", sent)
