"""Bytes that are requests, or nearly so."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.http.reading import Answer, Seen
from tests.http.vectors import VECTORS

_SHORT: Final = [vector.data for vector in VECTORS if 0 < len(vector.data) < 1000]

_METHODS: Final = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"CONNECT", b"PRI", b"X-Y"]
_ODD_METHODS: Final = [b"get", b"G(T", b"", b"G\x00T", b"\xc9", b" GET", b"GET "]
_TARGETS: Final = [b"/", b"/a?b=c", b"*", b"http://a/b", b"a:443", b"/%2e%2e/", b"//a/b"]
_ODD_TARGETS: Final = [b"", b"/a b", b"/\x00", b"/\r", b"/\n", b"a", b"/\xff", b"/#a", b"[", b"/\t"]
_VERSIONS: Final = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2"]
_ODD_VERSIONS: Final = [b"", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"http/1.1", b"HTTP/1.1 "]
_FIELDS: Final = [
    b"Host: a",
    b"A: b",
    b"a-b:c",
    b"A: \xe9",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: x",
    b"Expect: 100-continue",
    b"TE: chunked",
    b"Trailer: A",
]
_LENGTHS: Final = [
    b"+5",
    b"-5",
    b"5, 5",
    b"5,",
    b"0x5",
    b"5 5",
    b"05",
    b"",
    b"5\x0b",
    b"1_0",
    b"\xb2",
    b"9" * 20,
    b"5\t",
]
_CODINGS: Final = [
    *(b"chunked", b"Chunked", b"chunked ", b"\tchunked", b", chunked", b"chunked,", b"gzip, chunked", b"chunked, gzip"),
    *(b"identity", b"xchunked", b"chunked;a", b'"chunked"', b"chunked\r\n ", b"\x0bchunked", b"", b"chunked, chunked"),
]
_ODD_FIELDS: Final = [
    *(b"A : b", b" A: b", b"A", b": b", b"A: b\r\n c", b"A: b\rc", b"A: b\nc", b"A: \x00", b"A\x00: b", b"A: b\r"),
    *(b"Host: b", b"Host:", b"Host: a/b", b"\xe9: b", b"A\tB: c", b"A: \x7f", b"\tA: b", b"A;: b"),
]
_SIZES: Final = [b"+1", b"0x1", b"1 ", b" 1", b"1;a", b"1;a=b", b'1;a="b"', b"1;", b"", b"01", b"1_", b"1\r", b"f" * 17]
_TRAILERS: Final = [b"", b"A: b\r\n", b"A : b\r\n", b"A\r\n", b"Content-Length: 5\r\n", b"A: b\n", b" A: b\r\n"]
_LINE_ENDS: Final = [b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b" \r\n"]
_PIECES: Final = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n\n",
        b"\x00",
        b" ",
        b"\t",
        b"\x0b",
        b"\x0c",
        b":",
        b",",
        b";",
        b"=",
        b'"',
    ),
    *(
        b"0",
        b"5",
        b"-",
        b"+",
        b"_",
        b"0x",
        b"\xff",
        b"\xa0",
        b"\x85",
        b"\x7f",
        b"chunked",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
    ),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n", b"Connection: close\r\n"),
    *(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\r\n", b" HTTP/1.1"),
]


def valid_requests(random: Random) -> tuple[bytes, list[Answer]]:
    """Return requests without any fault, the bodies of which look like requests and chunks, and what they are."""
    sent = b""
    answers: list[Answer] = []
    for number in range(random.randint(1, 4)):
        method = random.choice([b"GET", b"POST", b"HEAD", b"PUT", b"X-Y"])
        content = b"".join(random.choices([*_PIECES, *_SHORT[:20]], k=random.randint(0, 4)))
        lines = random.sample(
            [b"Host: a", b"A: b", b"C:d", b"E: \xe9", b"Connection: keep-alive"], random.randint(0, 4)
        )
        if random.random() < 0.5:
            lines.insert(random.randint(0, len(lines)), b"Content-Length: %d" % len(content))
            body = content
        elif random.random() < 0.8:
            lines.insert(random.randint(0, len(lines)), b"Transfer-Encoding: chunked")
            body = _chunks(random, content, faulty=0.0)
        else:
            content = body = b""
        sent += b"\r\n".join([b"%b /%d HTTP/1.1" % (method, number), *lines, b"", body])
        answers.append(Seen(method.decode(), f"/{number}", content))
    return sent, answers


def any_bytes(random: Random) -> bytes:
    """Return requests with faults, of all kinds and anywhere."""
    kind = random.random()
    if kind < 0.35:
        data = random.choice(_SHORT)
    elif kind < 0.45:
        data = random.choice(_SHORT) + random.choice(_SHORT)
    elif kind < 0.55:
        data = valid_requests(random)[0]
    else:
        faulty = random.choice([0.0, 0.02, 0.1, 0.4])
        data = b"".join(_request(random, faulty) for _ in range(random.randint(1, 3)))
        if random.random() < 0.6:
            return data
    for _ in range(random.choice([1, 1, 2, 3, 6])):
        data = _changed(random, data)
    return data


def _request(random: Random, faulty: float) -> bytes:
    """Return a request of which each part has a fault by that probability."""

    def one_of(good: list[bytes], odd: list[bytes]) -> bytes:
        return random.choice(odd if random.random() < faulty else good)

    def line(content: bytes) -> bytes:
        return content + one_of([b"\r\n"], _LINE_ENDS)

    words = [one_of(_METHODS, _ODD_METHODS), one_of(_TARGETS, _ODD_TARGETS), one_of(_VERSIONS, _ODD_VERSIONS)]
    fields = [b"Host: a", *(one_of(_FIELDS, _ODD_FIELDS) for _ in range(random.randint(0, 3)))]
    content = random.choice([b"", b"hello", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", bytes(random.randint(0, 20))])
    body = content
    framing = random.random()
    if framing < 0.4:
        fields.append(b"Content-Length: " + one_of([b"%d" % len(content)], _LENGTHS))
    elif framing < 0.8:
        fields.append(b"Transfer-Encoding: " + one_of([b"chunked"], _CODINGS))
        body = _chunks(random, content, faulty)
    else:
        body = b""
    if random.random() < faulty:
        fields.append(random.choice([b"Content-Length: 5", b"Transfer-Encoding: chunked", b"content-length: 0"]))
    random.shuffle(fields)
    separator = one_of([b" "], [b"  ", b"\t", b"\r", b"\x0b", b"\xa0"])
    return line(separator.join(words)) + b"".join(line(field) for field in fields) + line(b"") + body


def _chunks(random: Random, content: bytes, faulty: float) -> bytes:
    """Return content as chunks."""
    sent = b""
    while content:
        size = random.randint(1, len(content))
        line = random.choice([b"%x", b"%X", b"%x;a=b", b"00%x"]) % size
        if random.random() < faulty:
            line = random.choice(_SIZES)
        end = random.choice(_LINE_ENDS) if random.random() < faulty else b"\r\n"
        sent += line + b"\r\n" + content[:size] + end
        content = content[size:]
    trailers = random.choice(_TRAILERS) if random.random() < faulty else random.choice([b"", b"A: b\r\n"])
    end = random.choice(_LINE_ENDS) if random.random() < faulty else b"\r\n"
    return sent + b"0\r\n" + trailers + end


def _changed(random: Random, data: bytes) -> bytes:
    """Return data with one change."""
    start = random.randint(0, len(data))
    end = min(len(data), start + random.choice([1, 1, 1, 2, 4, 16]))
    part = data[start:end]
    piece = random.choice([random.choice(_PIECES), bytes([random.randrange(256)])])
    changed = [
        data[:start] + data[end:],
        data[:start] + part * 2 + data[end:],
        data[:start] + piece + data[start:],
        data[:start] + piece + data[end:],
        data[:start] + part.swapcase() + data[end:],
        data[:start],
    ]
    return random.choices(changed, [4, 4, 4, 4, 2, 1])[0]
