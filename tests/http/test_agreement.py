"""What we read, h11 and llhttp read in the same way or refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.http import fuzz_requests
from tests.http.peers import Read, Reading, disagreement, read_by_h11, read_by_llhttp, read_by_us
from tests.http.reading import CLOSE, CUT
from tests.http.vectors import VECTORS, Vector

_line = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD /?b HTTP/1.0", b"GET /", b"CONNECT a:1 HTTP/1.1"]
)
_name = st.sampled_from(
    [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"A", b"a-b", b"A "]
)
_value = st.sampled_from(
    [b"a", b"5", b"0", b"chunked", b"gzip, chunked", b"close", b"keep-alive", b"100-continue", b""]
)
_field = st.tuples(_name, st.sampled_from([b":", b": ", b":\t"]), _value, st.sampled_from([b"", b" "])).map(b"".join)
_end = st.sampled_from([b"\r\n"] * 9 + [b"\n", b"\r", b""])
_fields = st.lists(st.tuples(_field, _end).map(b"".join), max_size=4).map(b"".join)
_chunk = st.sampled_from(
    [b"5\r\nhello\r\n", b"0\r\n\r\n", b"1;a=b\r\n\n\r\n", b"0\r\nA: b\r\n\r\n", b"5\r\nhello", b"hello"]
)
_request = st.tuples(
    st.tuples(_line, _end, st.just(b"Host: a\r\n")).map(b"".join),
    _fields,
    _end,
    st.lists(_chunk | st.binary(max_size=3), max_size=3).map(b"".join),
).map(b"".join)
_requests = st.lists(_request, min_size=1, max_size=3).map(b"".join)


def check(data: bytes) -> None:
    """Compare what is read of some bytes."""
    assert disagreement(read_by_us(data, host_required=True), read_by_h11(data)) is None
    assert disagreement(read_by_us(data), read_by_llhttp(data)) is None


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_vectors(vector: Vector) -> None:
    check(vector.data)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(_requests)
def test_requests(data: bytes) -> None:
    check(data)


class TestThePeers:
    """They do read something: agreement with who refuses all would show nothing."""

    @pytest.mark.parametrize("read", [read_by_us, read_by_h11, read_by_llhttp])
    def test_read_requests(self, read: Callable[[bytes], Reading]) -> None:
        data = (
            b"POST //a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
            b"HEAD /b HTTP/1.1\r\nHOST: a\r\nContent-Length: 1\r\n\r\nd"
            b"GET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert read(data) == [
            Read("POST", "/a", (("host", "a"), ("transfer-encoding", "chunked")), b"abc"),
            Read("HEAD", "/b", (("host", "a"), ("content-length", "1")), b"d"),
            Read("GET", "/c", (("host", "a"), ("connection", "close")), b""),
            CLOSE,
        ]

    @pytest.mark.parametrize("read", [read_by_us, read_by_llhttp])
    @pytest.mark.parametrize("cut", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"])
    def test_tell_what_is_cut(self, read: Callable[[bytes], Reading], cut: bytes) -> None:
        assert read(cut) == [CUT]

    @pytest.mark.parametrize("read", [read_by_us, read_by_h11, read_by_llhttp])
    def test_refuse(self, read: Callable[[bytes], Reading]) -> None:
        assert read(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n") == [400]


class TestDisagreement:
    ONE = Read("GET", "/", (), b"")
    OTHER = Read("GET", "/", (), b"x")

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ([], []),
            ([ONE, OTHER], [ONE, OTHER]),
            ([ONE, 400], [ONE, OTHER]),
            ([ONE, CUT], [ONE, OTHER, ONE]),
            ([ONE, CLOSE], [ONE, 400]),
            ([ONE], [ONE, CUT]),
        ],
    )
    def test_there_is_none(self, one: Reading, other: Reading) -> None:
        assert disagreement(one, other) is None
        assert disagreement(other, one) is None

    @pytest.mark.parametrize(("one", "other"), [([ONE], [OTHER]), ([ONE], [ONE, ONE]), ([], [ONE, 400])])
    def test_there_is_one(self, one: Reading, other: Reading) -> None:
        assert disagreement(one, other)
        assert disagreement(other, one)


class TestFuzzing:
    def test_finds_no_fault(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert fuzz_requests.main(["--cases", "2000", "--seed", "1"]) == 0
        assert "no fault" in capsys.readouterr().out

    def test_is_the_same_each_time(self, capsys: pytest.CaptureFixture[str]) -> None:
        outputs = []
        for _ in range(2):
            fuzz_requests.main(["--cases", "100", "--first", "300"])
            outputs.append(capsys.readouterr().out)
        assert outputs[0] == outputs[1]

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("read_by_h11", "h11 reads otherwise"),
            ("read_by_llhttp", "llhttp reads otherwise"),
            ("_split", "but in pieces"),
            ("raw_and_decoded", "but with bodies as they came"),
            ("_CALLS_A_BYTE", "calls to read it"),
            ("valid_requests", "which was"),
        ],
    )
    def test_finds(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, told: str
    ) -> None:
        faulty = {
            "read_by_h11": lambda data: [TestDisagreement.OTHER] * 9,
            "read_by_llhttp": lambda data: [TestDisagreement.OTHER] * 9,
            "_split": lambda random, data: [b"x" + data],
            "raw_and_decoded": lambda body: body.read() + b"x",
            "_CALLS_A_BYTE": -1000,
            "valid_requests": lambda random: (b"GET / HTTP/1.1\r\n\r\n", []),
        }
        monkeypatch.setattr(fuzz_requests, name, faulty[name])
        assert fuzz_requests.main(["--cases", "100"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("seed 0, case ")
        assert told in error

    def test_tells_the_case_of_an_exception(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(fuzz_requests, "answers_to", lambda reader: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            fuzz_requests.main(["--cases", "1", "--first", "7"])
        assert "seed 0, case 7:" in capsys.readouterr().err
