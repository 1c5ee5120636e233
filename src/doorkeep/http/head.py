"""The head of a request: the request line and the header lines, read and parsed by RFC 9112.

    line = read_request_line(reader)
    request = method, target, version = parse_request_line(line)
    head = parse_head(request, read_header_lines(reader) if version else ())

What is no request raises `HeadError`, to be answered with its status on a connection that is then closed; the end of
the stream within a head raises `IncompleteRequestError`, and nobody waits for an answer.

llhttp checks the header lines, under a request line that is always the same: ours takes any method and the white space
that the standard library takes. Where the body ends is judged here, whatever llhttp has let through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from doorkeep.errors import DoorkeepError

__all__ = [
    "LONGEST_BLOCK",
    "LONGEST_LINE",
    "MOST_FIELDS",
    "Head",
    "HeadError",
    "IncompleteRequestError",
    "RequestError",
    "RequestLine",
    "parse_fields",
    "parse_head",
    "parse_request_line",
    "read_header_lines",
    "read_request_line",
]

# In bytes, with the line end: the standard library's limit for the request line and each header line.
LONGEST_LINE: Final = 65536
# All header lines of a request together, in bytes. A line of full length must fit, with what usually is around it.
LONGEST_BLOCK: Final = 2 * LONGEST_LINE
# The standard library's.
MOST_FIELDS: Final = 100

# Method, target, version; the version is empty in a bare request, "GET /path", which has no header lines.
RequestLine = tuple[str, str, str]


class RequestError(DoorkeepError):
    """A request that must be refused, and after which the connection is of no use.

    `status` is that of the answer, `reason` its reason phrase, `explanation` a longer text, or None. `version` is what
    a request line that is refused calls its version, "HTTP/1.1", if the answer can be made in it; None elsewhere.
    """

    def __init__(self, status: int, reason: str, explanation: str | None = None, version: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.explanation = explanation
        self.version = version


class HeadError(RequestError):
    """The head of a request cannot be read, or not in one way only."""


class IncompleteRequestError(ConnectionError):
    """The client closed the connection within a request: there is nothing to answer."""


class Head:
    """The head of a request.

    `method`, `target` and `version` are as in the request line ("GET", "/path?query", "HTTP/1.1"), but that several
    slashes at the beginning of the target are one; a bare request has the version "HTTP/0.9". `fields` are the header
    fields in their order, names as sent, values without the white space around, both decoded as latin-1.

    `content_length` is the length of the body in bytes, 0 where there is none, and None where it is chunked.
    `keep_alive`: whether the client lets the connection be used for another request. `expects_continue`: whether it
    may wait for "100 Continue" before it sends the body. `upgrades`: whether what follows the request may be of
    another protocol, as it is with CONNECT, or with Upgrade.
    """

    __slots__ = (
        "content_length",
        "expects_continue",
        "fields",
        "keep_alive",
        "method",
        "target",
        "upgrades",
        "version",
    )

    def __init__(self, method: str, target: str, version: str, fields: list[tuple[str, str]]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.content_length: int | None = 0
        self.keep_alive = version >= "HTTP/1.1"
        self.expects_continue = False
        self.upgrades = method == "CONNECT"


# -- The request line ------------------------------------------------------------------------------------------------


def read_request_line(reader: Any) -> bytes:
    """Return the next line of the reader, without what is before it if that is one empty line (RFC 9112 section 2.2).

    It is empty at the end of the stream. Raises `HeadError` (414) if it is longer than `LONGEST_LINE`.
    """
    line: bytes = reader.readline(LONGEST_LINE + 1)
    if line == b"\r\n" or line == b"\n":
        line = reader.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise HeadError(414, "URI Too Long")
    return line


_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_ORDINARY_LINE = re.compile(rf"({_TOKEN})[ \t]+([^\x00-\x20\x7f]+)[ \t]+(HTTP/[01]\.[0-9])[ \t]*\r?\n").fullmatch
_IS_TOKEN = re.compile(_TOKEN).fullmatch
_HAS_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_IS_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]").fullmatch


def parse_request_line(line: bytes) -> RequestLine:
    """Return method, target and version of a request line; the version is empty in a bare request, "GET /path".

    Tabs and several spaces may separate the parts and be around them, as in the standard library (RFC 9112 section 3
    allows it); the method may be any token, the target anything but white space and control characters. Raises
    `HeadError` (400, 505) for what is no request line, and `IncompleteRequestError` for one without its line end.
    """
    match = _ORDINARY_LINE(line.decode("latin-1"))
    if match is None:
        return _parse_unusual_line(line)
    method, target, version = match.groups()
    return method, _one_slash(target), version


def _parse_unusual_line(line: bytes) -> RequestLine:
    """Find out what is wrong with a request line, in the standard library's order; or it is a bare request."""
    content = line.removesuffix(b"\n").removesuffix(b"\r")
    words = [word.decode("latin-1") for word in content.split()]  # at white space of ASCII only
    version: str | None = None
    if len(words) >= 3:
        version = words[-1]
        if not _IS_VERSION(version):
            raise HeadError(400, f"Bad request version ({version!r})")
        if version >= "HTTP/2":
            raise HeadError(505, f"Invalid HTTP version ({version[5:]})")
    if not 2 <= len(words) <= 3 or _HAS_CONTROL(content) or not _IS_TOKEN(words[0]):
        raise HeadError(400, f"Bad request syntax ({content.decode('latin-1')!r})", version=version)
    method, target = words[:2]
    if version is None and method != "GET":
        raise HeadError(400, f"Bad HTTP/0.9 request type ({method!r})")
    if not line.endswith(b"\n"):
        raise IncompleteRequestError("the client hung up within the request line")
    return method, _one_slash(target), version or ""


def _one_slash(target: str) -> str:
    """Return a target that no client takes for another host's when it is told to go there: "//host" names one."""
    return "/" + target.lstrip("/") if target.startswith("//") else target


# -- The header lines ------------------------------------------------------------------------------------------------


def read_header_lines(reader: Any, most: int = MOST_FIELDS, longest_block: int = LONGEST_BLOCK) -> list[bytes]:
    """Read the header lines and the empty line after them; return the lines before it, with their line ends.

    Raises `HeadError` (431) if one is longer than `LONGEST_LINE`, if there are more than `most`, or if together they
    have more than `longest_block` bytes; `IncompleteRequestError` if the stream ends before the empty line.
    """
    readline = reader.readline
    lines: list[bytes] = []
    rest = longest_block
    while True:
        line = readline(LONGEST_LINE + 1)
        if line == b"\r\n" or line == b"\n":
            return lines
        if len(line) > LONGEST_LINE:
            raise HeadError(431, "Line too long", f"got more than {LONGEST_LINE} bytes when reading header line")
        if not line.endswith(b"\n"):
            raise IncompleteRequestError("the client hung up within the header")
        rest -= len(line)
        if rest < 0:
            raise HeadError(431, "Header too long", f"got more than {longest_block} bytes of header lines")
        if len(lines) == most:
            raise HeadError(431, "Too many headers", f"got more than {most} headers")
        lines.append(line)


def parse_head(request_line: RequestLine, header_lines: Sequence[bytes], *, host_required: bool = False) -> Head:
    """Return the head that a request line, from `parse_request_line`, and header lines make.

    The lines are as `readline` returns them; a lone LF may end them (RFC 9112 section 2.2). With `host_required` a
    request of HTTP/1.1 must have a Host field, and its value must be a host (section 3.2).

    Raises `HeadError`: 501 for a transfer coding other than chunked, 400 for all that is no header, and for a header
    that could be read in two ways. Does not decide whether method, target and expectation can be met.
    """
    method, target, version = request_line
    head = Head(method, target, version or "HTTP/0.9", parse_fields(header_lines))
    _interpret(head, host_required)
    return head


class _Fields(list[tuple[str, str]]):
    """What llhttp finds."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.decode("ascii"), value.decode("latin-1").rstrip(" \t")))


def parse_fields(lines: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return the names and values of header lines; raises `HeadError` (400) if these are not fields all."""
    fields = _Fields()
    parser = HttpRequestParser(fields)
    # What llhttp calls lenient leaves Transfer-Encoding to us, who know a coding that is unknown from one misplaced.
    parser.set_dangerous_leniencies(lenient_transfer_encoding=True)
    block = b"GET / HTTP/1.1\r\n%b\r\n" % b"".join(lines)
    if block.count(b"\r\n") != len(lines) + 2:
        block = b"GET / HTTP/1.1\r\n%b\r\n" % b"".join([_with_crlf(line) for line in lines])
    try:
        parser.feed_data(block)
    except HttpParserUpgrade:
        pass  # the fields are complete, and whether to change the protocol is the handler's to decide
    except HttpParserError as error:
        raise HeadError(400, f"Bad header ({error})") from error
    return fields


def _with_crlf(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n"


# -- What the fields mean --------------------------------------------------------------------------------------------

_SIGNIFICANT = frozenset({"connection", "content-length", "expect", "transfer-encoding", "upgrade"})
_LENGTH = re.compile(r"0*([0-9]{1,19})").fullmatch
_IS_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:\-]+\]|(?:[\w.~!$&'()*+,;=\-]|%[0-9A-Fa-f]{2})*)"
    r"(?::[0-9]*)?",
    re.ASCII,
).fullmatch
_LONGEST_BODY: Final = 2**63 - 1


def _interpret(head: Head, host_required: bool) -> None:
    """Set what the fields of a head say of its body and its connection, and check its host."""
    names = [name.lower() for name, _ in head.fields]
    if host_required or names.count("host") > 1:
        _check_host(head, names, host_required)
    if _SIGNIFICANT.isdisjoint(names):
        return
    found: dict[str, list[str]] = {}
    for name, (_, value) in zip(names, head.fields, strict=True):
        if name in _SIGNIFICANT:
            found.setdefault(name, []).append(value)
    if "transfer-encoding" in found or "content-length" in found:
        head.content_length = _body_length(head, found)
        if head.content_length != 0 and head.method == "CONNECT":
            # RFC 9110 section 9.3.6 knows no body of it, and some take what is one to others for the tunnel's bytes.
            raise HeadError(400, "CONNECT with a body")
    is_new = head.version >= "HTTP/1.1"
    if "connection" in found:
        options = _list_of(found["connection"])
        is_kept = is_new or (head.version == "HTTP/1.0" and "keep-alive" in options)
        head.keep_alive = is_kept and "close" not in options
        if is_new and "upgrade" in found and "upgrade" in options:
            head.upgrades = True
    if is_new and "expect" in found:
        head.expects_continue = "100-continue" in _list_of(found["expect"])


def _check_host(head: Head, names: list[str], required: bool) -> None:
    count = names.count("host")
    if count > 1:
        raise HeadError(400, "More than one Host")
    if required and not count and head.version >= "HTTP/1.1":
        raise HeadError(400, "Missing Host")
    if required and count and not _IS_HOST(head.fields[names.index("host")][1]):
        raise HeadError(400, "Bad Host")


def _body_length(head: Head, found: dict[str, list[str]]) -> int | None:
    """Return the length of the body, None if it is chunked, by RFC 9112 section 6.3."""
    lengths = found.get("content-length", [])
    if "transfer-encoding" in found:
        if lengths:
            raise HeadError(400, "Transfer-Encoding with Content-Length")
        _check_codings(head, _list_of(found["transfer-encoding"]))
        return None
    match = _LENGTH(lengths[0])
    if len(lengths) > 1 or match is None or (length := int(match[1])) > _LONGEST_BODY:
        raise HeadError(400, "Bad Content-Length")
    return length


def _check_codings(head: Head, codings: list[str]) -> None:
    if head.version < "HTTP/1.1":
        # RFC 9112 section 6.1: such framing is faulty, as some recipient on the way may not have understood it.
        raise HeadError(400, "Transfer-Encoding without HTTP/1.1")
    if not codings or "chunked" in codings[:-1] or any(not _IS_TOKEN(coding) for coding in codings):
        raise HeadError(400, "Bad Transfer-Encoding")
    unknown = [coding for coding in codings if coding != "chunked"]
    if unknown:
        raise HeadError(501, f"Unsupported transfer coding ({unknown[0]!r})")


def _list_of(values: list[str]) -> list[str]:
    """Return the elements of a field that is a list (RFC 9110 section 5.6.1), in lower case."""
    return [element for value in values for each in value.split(",") if (element := each.strip(" \t").lower())]
