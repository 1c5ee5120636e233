"""Conditional requests: what each condition comes to, and which of several counts."""

from __future__ import annotations

import os
from email.utils import formatdate
from http import HTTPStatus
from http.client import HTTPMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http.conditions import Validators, failed_condition, may_send_range, parse_http_date, validators_of

# 2024-01-01 00:00:00 GMT
MODIFIED = 1_704_067_200
STATE = Validators('"a-1"', MODIFIED)
THEN = formatdate(MODIFIED, usegmt=True)
BEFORE = formatdate(MODIFIED - 1, usegmt=True)
AFTER = formatdate(MODIFIED + 1, usegmt=True)
OK = None
NOT_MODIFIED = HTTPStatus.NOT_MODIFIED
FAILED = HTTPStatus.PRECONDITION_FAILED


def headers(*fields: tuple[str, str]) -> HTTPMessage:
    message = HTTPMessage()
    for name, value in fields:
        message[name] = value
    return message


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, OK),
        # 13.1.1: the strong comparison
        ({"If-Match": '"a-1"'}, OK),
        ({"If-Match": '"b", "a-1"'}, OK),
        ({"If-Match": "*"}, OK),
        ({"If-Match": 'W/"a-1"'}, FAILED),
        ({"If-Match": '"b"'}, FAILED),
        ({"If-Match": "a-1"}, FAILED),
        ({"If-Match": ""}, FAILED),
        # 13.1.2: the weak one
        ({"If-None-Match": '"a-1"'}, NOT_MODIFIED),
        ({"If-None-Match": 'W/"a-1"'}, NOT_MODIFIED),
        ({"If-None-Match": '"b",W/"a-1" , "c"'}, NOT_MODIFIED),
        ({"If-None-Match": '"b"'}, OK),
        ({"If-None-Match": '"x,"a-1"'}, OK),
        ({"If-None-Match": "*"}, OK),
        # 13.1.3
        ({"If-Modified-Since": THEN}, NOT_MODIFIED),
        ({"If-Modified-Since": AFTER}, NOT_MODIFIED),
        ({"If-Modified-Since": BEFORE}, OK),
        ({"If-Modified-Since": "Monday, 01-Jan-24 00:00:00 GMT"}, NOT_MODIFIED),
        ({"If-Modified-Since": "Mon Jan  1 00:00:00 2024"}, NOT_MODIFIED),
        ({"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 -0000"}, NOT_MODIFIED),
        ({"If-Modified-Since": "yesterday"}, OK),
        ({"If-Modified-Since": "Mon, 01 Jan 2024 05:00:00 +0500"}, OK),
        # 13.1.4
        ({"If-Unmodified-Since": THEN}, OK),
        ({"If-Unmodified-Since": AFTER}, OK),
        ({"If-Unmodified-Since": BEFORE}, FAILED),
        ({"If-Unmodified-Since": "tomorrow"}, OK),
        # 13.2.2: which goes before which
        ({"If-Match": '"a-1"', "If-Unmodified-Since": BEFORE}, OK),
        ({"If-Match": '"b"', "If-Unmodified-Since": AFTER}, FAILED),
        ({"If-Match": '"b"', "If-None-Match": '"a-1"'}, FAILED),
        ({"If-Match": '"a-1"', "If-None-Match": '"a-1"'}, NOT_MODIFIED),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": '"a-1"'}, FAILED),
        ({"If-None-Match": '"b"', "If-Modified-Since": AFTER}, OK),
        ({"If-None-Match": "*", "If-Modified-Since": AFTER}, OK),
        ({"If-None-Match": '"a-1"', "If-Modified-Since": BEFORE}, NOT_MODIFIED),
        ({"If-Unmodified-Since": THEN, "If-Modified-Since": THEN}, NOT_MODIFIED),
    ],
)
def test_outcome(fields: dict[str, str], outcome: HTTPStatus | None) -> None:
    assert failed_condition(headers(*fields.items()), STATE) == outcome


def test_a_list_may_have_several_lines() -> None:
    assert failed_condition(headers(("If-None-Match", '"b"'), ("if-none-match", '"a-1"')), STATE) == NOT_MODIFIED


@pytest.mark.parametrize(
    ("if_range", "now", "may"),
    [
        (None, MODIFIED, True),
        ('"a-1"', MODIFIED, True),
        (' "a-1" ', MODIFIED, True),
        ('W/"a-1"', MODIFIED, False),
        ('"b"', MODIFIED, False),
        ('"a-1", "b"', MODIFIED, False),
        (THEN, MODIFIED + 2, True),
        (THEN, MODIFIED + 1.9, False),  # may have changed twice within its second
        (AFTER, MODIFIED + 100, False),
        (BEFORE, MODIFIED + 100, False),
        ("then", MODIFIED + 100, False),
    ],
)
def test_if_range(if_range: str | None, now: float, may: bool) -> None:
    assert may_send_range(if_range, STATE, now) is may


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_formats_of_a_date(text: str) -> None:
    assert parse_http_date(text) == 784_111_777


@pytest.mark.parametrize(
    "text", ["", "0", "now", "Sun, 06 Nov 1994 08:49:37 PST", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 GMT x"]
)
def test_no_date(text: str) -> None:
    assert parse_http_date(text) is None


@given(st.text(max_size=60))
def test_whatever_comes_as_a_date(text: str) -> None:
    assert isinstance(parse_http_date(text), int | None)


@given(st.integers(0, 4_000_000_000))
def test_dates_come_back(seconds: int) -> None:
    state = Validators('"x"', seconds)
    assert parse_http_date(state.last_modified) == seconds
    assert failed_condition(headers(("If-Modified-Since", state.last_modified)), state) == NOT_MODIFIED


@given(st.text(alphabet=' "W/*,ab-1', max_size=30), st.booleans())
def test_a_list_matches_if_it_has_the_tag(text: str, weak: bool) -> None:
    joined = f'{text.replace(chr(34), "")}, {"W/" if weak else ""}"a-1"'
    assert failed_condition(headers(("If-None-Match", joined)), STATE) == NOT_MODIFIED
    assert failed_condition(headers(("If-Match", joined)), STATE) == (FAILED if weak else None)


def test_validators_change_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    os.utime(path, ns=(0, 1_000_000_000))
    first = validators_of(path.stat(), MODIFIED)
    assert first.modified == 1
    os.utime(path, ns=(0, 1_000_000_001))
    second = validators_of(path.stat(), MODIFIED)
    assert second.modified == 1
    path.write_text("three")
    os.utime(path, ns=(0, 1_000_000_001))
    third = validators_of(path.stat(), MODIFIED)
    other = tmp_path / "other"
    other.write_text("three")
    os.utime(other, ns=(0, 1_000_000_001))
    assert len({first.etag, second.etag, third.etag, validators_of(other.stat(), MODIFIED).etag}) == 4
    assert first.etag.startswith('"')


class TestAFileThatMayChangeUnseen:
    """It is sent again, whatever the client has: one tag may stand for two states of the file."""

    @pytest.fixture
    def status(self, tmp_path: Path) -> os.stat_result:
        path = tmp_path / "file"
        path.write_text("one")
        os.utime(path, (MODIFIED, MODIFIED))
        return path.stat()

    @pytest.mark.parametrize(
        ("now", "is_strong"), [(MODIFIED + 2, True), (MODIFIED + 1.99, False), (MODIFIED - 1, False)]
    )
    def test_has_no_strong_tag(self, status: os.stat_result, now: float, is_strong: bool) -> None:
        etag = validators_of(status, now).etag
        assert etag.startswith('"') is is_strong
        assert etag.startswith('W/"') is not is_strong

    def test_has_a_tag_that_does_not_match(self, status: os.stat_result) -> None:
        early = validators_of(status, MODIFIED + 1)
        late = validators_of(status, MODIFIED + 100)
        for seen in (early, late):
            for now in (early, late):
                matches = seen is late and now is late
                none_match = headers(("If-None-Match", seen.etag))
                assert failed_condition(none_match, now) is (NOT_MODIFIED if matches else None)
                assert failed_condition(headers(("If-Match", seen.etag)), now) is (None if matches else FAILED)
                assert may_send_range(seen.etag, now, MODIFIED) is matches
