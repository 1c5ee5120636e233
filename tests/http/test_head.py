"""Heads of requests, beyond what the vectors say."""

from __future__ import annotations

import io
import string
from typing import Any

import pytest

from doorkeep.http.head import (
    LONGEST_BLOCK,
    LONGEST_LINE,
    MOST_FIELDS,
    Head,
    HeadError,
    IncompleteRequestError,
    RequestError,
    RequestLine,
    parse_fields,
    parse_head,
    parse_request_line,
    read_header_lines,
    read_request_line,
)

TOKEN = frozenset((string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode())
LINE: RequestLine = ("GET", "/", "HTTP/1.1")


def head_of(*lines: bytes, request_line: RequestLine = LINE, **settings: Any) -> Head:
    """Return the head with these header lines, to which the line ends are added."""
    return parse_head(request_line, [line + b"\r\n" for line in lines], **settings)


class TestRequestLine:
    def test_an_ordinary_one(self) -> None:
        assert parse_request_line(b"GET /a?b HTTP/1.1\r\n") == ("GET", "/a?b", "HTTP/1.1")

    def test_a_bare_one_has_no_version(self) -> None:
        assert parse_request_line(b"GET /a\r\n") == ("GET", "/a", "")

    def test_the_version_stays_as_it_was_sent(self) -> None:
        assert parse_request_line(b"GET / HTTP/1.7\n")[2] == "HTTP/1.7"

    @pytest.mark.parametrize(
        ("line", "status", "reason", "version"),
        [
            (b"\r\n", 400, "Bad request syntax ('')", None),
            (b"GET\r\n", 400, "Bad request syntax ('GET')", None),
            (b" / \r\n", 400, "Bad request syntax (' / ')", None),
            (b"GET /a b HTTP/1.1\r\n", 400, "Bad request syntax ('GET /a b HTTP/1.1')", "HTTP/1.1"),
            (b"GET /\x00 HTTP/1.0\r\n", 400, r"Bad request syntax ('GET /\x00 HTTP/1.0')", "HTTP/1.0"),
            (b"G(T / HTTP/1.1\r\n", 400, "Bad request syntax ('G(T / HTTP/1.1')", "HTTP/1.1"),
            (b"GET / HTTP/1.1\r\r\n", 400, r"Bad request syntax ('GET / HTTP/1.1\r')", "HTTP/1.1"),
            (b"GET / FUBAR\r\n", 400, "Bad request version ('FUBAR')", None),
            (b"GET / HTTP/9.9.9\r\n", 400, "Bad request version ('HTTP/9.9.9')", None),
            (b"GET / HTTP/9.9\r\n", 505, "Invalid HTTP version (9.9)", None),
            (b"CUSTOM /\r\n", 400, "Bad HTTP/0.9 request type ('CUSTOM')", None),
        ],
    )
    def test_what_is_refused_has_the_standard_librarys_text(
        self, line: bytes, status: int, reason: str, version: str | None
    ) -> None:
        with pytest.raises(HeadError) as caught:
            parse_request_line(line)
        error = caught.value
        assert (error.status, error.reason, error.explanation, error.version) == (status, reason, None, version)
        assert str(error) == reason

    @pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"GET / HTTP/1.1\r", b"GET /", b"GET / HTTP/1.5"])
    def test_one_without_its_end_is_none(self, line: bytes) -> None:
        with pytest.raises(IncompleteRequestError):
            parse_request_line(line)

    def test_what_is_wrong_is_told_though_its_end_is_missing(self) -> None:
        with pytest.raises(HeadError, match="Bad request syntax"):
            parse_request_line(b"<script>alert(1)</script> / HTTP/1.1")

    @pytest.mark.parametrize("octet", sorted({*range(256)} - {*b"\t\n "}))
    def test_each_octet(self, octet: int) -> None:
        """A method is a token, a target anything visible."""
        character = bytes([octet])
        if octet in TOKEN:
            assert parse_request_line(b"A%bB /a HTTP/1.1\r\n" % character)[0] == f"A{chr(octet)}B"
        else:
            with pytest.raises(HeadError):
                parse_request_line(b"A%bB /a HTTP/1.1\r\n" % character)
        if 0x20 < octet != 0x7F:
            assert parse_request_line(b"GET /a%bb HTTP/1.1\r\n" % character)[1] == f"/a{chr(octet)}b"
        else:
            with pytest.raises(HeadError):
                parse_request_line(b"GET /a%bb HTTP/1.1\r\n" % character)

    def test_reading_skips_one_empty_line(self) -> None:
        reader = io.BytesIO(b"\r\nGET / HTTP/1.1\r\n\n\n")
        assert [read_request_line(reader) for _ in range(3)] == [b"GET / HTTP/1.1\r\n", b"\n", b""]

    def test_reading_takes_no_more_than_one_line_may_have(self) -> None:
        reader = io.BytesIO(b"a" * (3 * LONGEST_LINE))
        with pytest.raises(HeadError) as caught:
            read_request_line(reader)
        assert caught.value.status == 414
        assert reader.tell() == LONGEST_LINE + 1


class TestHeaderLines:
    def test_are_read_with_the_empty_line(self) -> None:
        reader = io.BytesIO(b"A: b\r\nC: d\n\r\nbody")
        assert read_header_lines(reader) == [b"A: b\r\n", b"C: d\n"]
        assert reader.read() == b"body"

    def test_may_be_none(self) -> None:
        assert read_header_lines(io.BytesIO(b"\r\n")) == []

    @pytest.mark.parametrize("data", [b"", b"A", b"A: b\r\n", b"A: b\r\n\r"])
    def test_must_have_an_end(self, data: bytes) -> None:
        with pytest.raises(IncompleteRequestError):
            read_header_lines(io.BytesIO(data))

    @pytest.mark.parametrize(
        ("data", "reason", "explanation"),
        [
            (b"A: " + b"b" * LONGEST_LINE, "Line too long", "got more than 65536 bytes when reading header line"),
            (b"A: b\r\n" * (MOST_FIELDS + 1) + b"\r\n", "Too many headers", "got more than 100 headers"),
            (b"A: " + b"b" * 50_000 + b"\r\nA: " + b"b" * 50_000 + b"\r\nA: " + b"b" * 50_000 + b"\r\n\r\n",
             "Header too long", "got more than 131072 bytes of header lines"),
        ],
        ids=["line", "count", "block"],
    )  # fmt: skip
    def test_have_limits(self, data: bytes, reason: str, explanation: str) -> None:
        with pytest.raises(HeadError) as caught:
            read_header_lines(io.BytesIO(data))
        assert (caught.value.status, caught.value.reason, caught.value.explanation) == (431, reason, explanation)

    def test_just_at_their_limits(self) -> None:
        lines = [b"A: " + b"b" * (LONGEST_LINE - 5) + b"\r\n"] * 2
        assert sum(map(len, lines)) == LONGEST_BLOCK
        assert read_header_lines(io.BytesIO(b"".join(lines) + b"\r\n")) == lines

    def test_limits_may_be_others(self) -> None:
        data = b"A: b\r\nC: d\r\n\r\n"
        assert len(read_header_lines(io.BytesIO(data), most=2, longest_block=12)) == 2
        with pytest.raises(HeadError, match="Too many headers"):
            read_header_lines(io.BytesIO(data), most=1)
        with pytest.raises(HeadError, match="Header too long"):
            read_header_lines(io.BytesIO(data), longest_block=11)


class TestFields:
    def test_names_stay_and_values_lose_the_white_space_around(self) -> None:
        assert parse_fields([b"HoSt:\t a b \t\r\n", b"x:\n", b"X:\xe9\r\n"]) == [("HoSt", "a b"), ("x", ""), ("X", "é")]
        assert parse_fields([b"A: \xa0b\x85\r\n"]) == [("A", "\xa0b\x85")]

    def test_none(self) -> None:
        assert parse_fields([]) == []

    @pytest.mark.parametrize("octet", sorted({*range(256)} - {*b"\n:"}))
    def test_each_octet(self, octet: int) -> None:
        """A name is a token, a value anything but control characters."""
        character = bytes([octet])
        if octet in TOKEN:
            assert parse_fields([b"A%bB: c\r\n" % character]) == [(f"A{chr(octet)}B", "c")]
        else:
            with pytest.raises(HeadError):
                parse_fields([b"A%bB: c\r\n" % character])
        if octet == 0x09 or 0x20 <= octet != 0x7F:
            assert parse_fields([b"A: b%bc\r\n" % character]) == [("A", f"b{chr(octet)}c")]
        else:
            with pytest.raises(HeadError):
                parse_fields([b"A: b%bc\r\n" % character])

    def test_what_is_wrong_is_in_the_reason(self) -> None:
        with pytest.raises(HeadError) as caught:
            parse_fields([b"A : b\r\n"])
        assert (caught.value.status, caught.value.reason) == (400, "Bad header (Invalid header token)")

    def test_lines_without_their_ends_are_not_joined(self) -> None:
        assert parse_fields([b"A: b", b"C: d\r\n", b"E: f"]) == [("A", "b"), ("C", "d"), ("E", "f")]


class TestHead:
    def test_a_simple_one(self) -> None:
        head = head_of(b"Host: a", request_line=("GET", "/a", "HTTP/1.1"))
        assert (head.method, head.target, head.version, head.fields) == ("GET", "/a", "HTTP/1.1", [("Host", "a")])
        assert (head.content_length, head.keep_alive, head.expects_continue, head.upgrades) == (0, True, False, False)

    def test_a_bare_one(self) -> None:
        head = head_of(request_line=("GET", "/", ""))
        assert (head.version, head.fields, head.content_length, head.keep_alive) == ("HTTP/0.9", [], 0, False)

    @pytest.mark.parametrize(
        ("lines", "length"),
        [
            ([b"Content-Length: 7"], 7),
            ([b"Transfer-Encoding: chunked"], None),
            ([b"Transfer-Encoding: ,Chunked,"], None),
        ],
    )
    def test_length_of_its_body(self, lines: list[bytes], length: int | None) -> None:
        assert head_of(*lines).content_length == length

    @pytest.mark.parametrize(
        ("version", "connection", "kept"),
        [
            ("HTTP/1.1", "", True),
            ("HTTP/1.5", "", True),
            ("HTTP/1.1", "x, CLOSE", False),
            ("HTTP/1.1", "upgrade", True),
            ("HTTP/1.0", "", False),
            ("HTTP/1.0", "Keep-Alive", True),
            ("HTTP/1.0", "keep-alive, close", False),
            ("HTTP/0.9", "keep-alive", False),
        ],
    )
    def test_whether_the_connection_is_kept(self, version: str, connection: str, kept: bool) -> None:
        head = head_of(f"Connection: {connection}".encode(), request_line=("GET", "/", version))
        assert head.keep_alive is kept

    @pytest.mark.parametrize(
        ("version", "expect", "expects"),
        [
            ("HTTP/1.1", b"100-Continue", True),
            ("HTTP/1.1", b"x, 100-continue", True),
            ("HTTP/1.1", b"y 100-continue", False),
            ("HTTP/1.1", b"something", False),
            ("HTTP/1.0", b"100-continue", False),
        ],
    )
    def test_expectation(self, version: str, expect: bytes, expects: bool) -> None:
        assert head_of(b"Expect: " + expect, request_line=("PUT", "/", version)).expects_continue is expects

    @pytest.mark.parametrize(
        ("method", "version", "lines", "upgrades"),
        [
            ("CONNECT", "HTTP/1.1", [], True),
            ("GET", "HTTP/1.1", [b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"], True),
            ("GET", "HTTP/1.1", [b"Connection: upgrade"], False),
            ("GET", "HTTP/1.1", [b"Upgrade: websocket"], False),
            ("GET", "HTTP/1.0", [b"Connection: upgrade", b"Upgrade: websocket"], False),
        ],
    )
    def test_whether_it_upgrades(self, method: str, version: str, lines: list[bytes], upgrades: bool) -> None:
        assert head_of(*lines, request_line=(method, "/", version)).upgrades is upgrades

    @pytest.mark.parametrize(
        ("lines", "version", "status", "reason"),
        [
            ([b"Host: a", b"Host: b"], "HTTP/1.1", 400, "More than one Host"),
            ([], "HTTP/1.1", 400, "Missing Host"),
            ([b"Host: a/b"], "HTTP/1.0", 400, "Bad Host"),
            ([b"Content-Length: 99999999999999999999"], "HTTP/1.1", 400, "Bad header (Content-Length overflow)"),
            ([b"Host: a", b"Content-Length: 9223372036854775808"], "HTTP/1.1", 400, "Bad Content-Length"),
            ([b"Host: a", b"Transfer-Encoding: a b"], "HTTP/1.1", 400, "Bad Transfer-Encoding"),
            ([b"Host: a", b"Transfer-Encoding: x, chunked"], "HTTP/1.1", 501, "Unsupported transfer coding ('x')"),
            ([b"Host: a", b"Transfer-Encoding: chunked"], "HTTP/1.0", 400, "Transfer-Encoding without HTTP/1.1"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, lines: list[bytes], version: str, status: int, reason: str) -> None:
        with pytest.raises(HeadError) as caught:
            head_of(*lines, request_line=("GET", "/", version), host_required=True)
        assert (caught.value.status, caught.value.reason) == (status, reason)

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], "Transfer-Encoding with Content-Length"),
            ([("Content-Length", "5"), ("Content-Length", "5")], "Bad Content-Length"),
            ([("Content-Length", "5, 5")], "Bad Content-Length"),
            ([("Content-Length", "+5")], "Bad Content-Length"),
            ([("Content-Length", "")], "Bad Content-Length"),
            ([("Content-Length", "9" * 5000)], "Bad Content-Length"),
            ([("Transfer-Encoding", "")], "Bad Transfer-Encoding"),
        ],
    )
    def test_what_is_refused_does_not_depend_on_llhttp(
        self, monkeypatch: pytest.MonkeyPatch, fields: list[tuple[str, str]], reason: str
    ) -> None:
        monkeypatch.setattr("doorkeep.http.head.parse_fields", lambda lines: fields)
        with pytest.raises(HeadError) as caught:
            parse_head(LINE, [])
        assert (caught.value.status, caught.value.reason) == (400, reason)

    def test_a_reason_can_stand_in_a_status_line(self) -> None:
        with pytest.raises(RequestError) as caught:
            parse_request_line(b"GET / \xe9\r\x00\x1b\r\n")
        assert caught.value.reason.isprintable()
