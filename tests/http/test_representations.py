"""How a request for a file is answered: status, headers and the pieces of the content."""

from __future__ import annotations

import time
from email.message import Message
from http import HTTPStatus

import pytest

from doorkeep.http.conditions import Validators
from doorkeep.http.representations import Answer, Representation, asks_for_whole

STATE = Validators('"tag"', 86400)
IDENTITY = {"Last-Modified": "Fri, 02 Jan 1970 00:00:00 GMT", "ETag": '"tag"'}


PLAIN = Representation(STATE, 10, "text/plain")


def answer(representation: Representation = PLAIN, method: str = "GET", /, **headers: str) -> Answer:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return representation.answer(method, message)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_whole(method: str) -> None:
    status, headers, pieces = answer(PLAIN, method)
    assert status == HTTPStatus.OK
    assert dict(headers) == {
        "Content-type": "text/plain",
        "Content-Length": "10",
        "Accept-Ranges": "bytes",
        **IDENTITY,
    }
    assert pieces == [range(10)]


def test_a_coding() -> None:
    coded = Representation(STATE, 10, "text/plain", "br", varies=True)
    headers = dict(answer(coded).headers)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("br", "Accept-Encoding")
    not_modified = answer(coded, If_None_Match='"tag"')
    assert dict(not_modified.headers) == {**IDENTITY, "Vary": "Accept-Encoding"}
    assert not_modified.pieces is None


@pytest.mark.parametrize("name", ["Range", "range", "RANGE", "rAnge"])
def test_a_range(name: str) -> None:
    status, headers, pieces = answer(**{name: "bytes=2-3"})
    assert status == HTTPStatus.PARTIAL_CONTENT
    assert dict(headers)["Content-Range"] == "bytes 2-3/10"
    assert dict(headers)["Content-Length"] == "2"
    assert pieces == [range(2, 4)]


def test_several_ranges() -> None:
    status, headers, pieces = answer(Range="bytes=0-1,4-5")
    assert status == HTTPStatus.PARTIAL_CONTENT
    assert dict(headers)["Content-type"].startswith("multipart/byteranges; boundary=")
    assert pieces is not None
    assert dict(headers)["Content-Length"] == str(sum(map(len, pieces)))
    assert [piece for piece in pieces if isinstance(piece, range)] == [range(2), range(4, 6)]


def test_each_multipart_has_a_boundary_of_its_own() -> None:
    first, second = (dict(answer(Range="bytes=0-1,4-5").headers)["Content-type"] for _ in range(2))
    assert first != second


def test_of_several_ranges_one_that_can_be_had() -> None:
    _, headers, pieces = answer(Range="bytes=0-1,100-")
    assert dict(headers)["Content-Range"] == "bytes 0-1/10"
    assert pieces == [range(2)]


def test_no_range_that_can_be_had() -> None:
    status, headers, pieces = answer(Range="bytes=10-")
    assert status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert dict(headers) == {"Content-Range": "bytes */10", "Content-Length": "0"}
    assert pieces is None


@pytest.mark.parametrize("headers", [{"Range": "lines=0-1"}, {"Range": "bytes=0-1", "If-Range": '"other"'}])
def test_a_range_that_is_ignored(headers: dict[str, str]) -> None:
    assert answer(**headers).status == HTTPStatus.OK


def test_a_head_has_no_ranges() -> None:
    assert answer(PLAIN, "HEAD", Range="bytes=0-1").status == HTTPStatus.OK


def test_a_date_of_just_now_is_no_reason_for_a_range() -> None:
    now = Representation(Validators('"tag"', int(time.time()) + 1), 10, "text/plain")
    date = now.validators.last_modified
    assert answer(now, Range="bytes=0-1", If_Range=date).status == HTTPStatus.OK


def test_a_date_to_come_is_not_told() -> None:
    """RFC 9110, section 8.8.2.1."""
    later = Representation(Validators('"tag"', int(time.time()) + 1000), 10, "text/plain")
    assert "Last-Modified" not in dict(answer(later).headers)
    assert dict(answer(later).headers)["ETag"] == '"tag"'


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        ((), True),
        (("Host", "Accept", "X-If-Match", "Content-Range"), True),
        (("If-Match",), False),
        (("Host", "if-none-match"), False),
        (("Host", "RANGE"), False),
    ],
)
def test_who_asks_for_the_whole(names: tuple[str, ...], whole: bool) -> None:
    assert asks_for_whole(dict.fromkeys(names, "")) is whole


def test_a_failed_condition() -> None:
    assert answer(If_Match='"other"') == (HTTPStatus.PRECONDITION_FAILED, [("Content-Length", "0")], None)
