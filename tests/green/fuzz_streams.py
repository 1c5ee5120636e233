"""Files of green sockets against those of the standard library, with random data, in random pieces, by random calls.

    python -m tests.green.fuzz_streams --cases 100000

tries as many cases with the implementation of this process, and prints how they went; `DOORKEEP_PURE=1` chooses the
one in Python. `test_fuzz_streams.py` tries fewer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from doorkeep.green.core import NAME, Reader

# More than all data of a case, so that the standard library's buffer keeps what one call of `recv` returns.
BUFFER = 1 << 20
# Cases that are generated together: Hypothesis remembers all of them, so as not to repeat itself.
ROUND = 2000


class Interrupted(Exception):
    """What ends a call of `recv` in which nothing was received."""


class Pieces:
    """A connection whose bytes come in pieces; None is a call that fails."""

    def __init__(self, pieces: list[bytes | None]) -> None:
        self._pieces = pieces
        self.files_closed = 0

    def recv(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if piece is None:
            raise Interrupted
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]

    def _decref_socketios(self) -> None:
        self.files_closed += 1


class RawPieces(io.RawIOBase):
    """The same for `io.BufferedReader`."""

    def __init__(self, pieces: list[bytes | None]) -> None:
        self._source = Pieces(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _into(method: str) -> Callable[[Any, int], bytes]:
    def call(file: Any, size: int) -> bytes:
        buffer = bytearray(size)
        length = getattr(file, method)(buffer)
        return bytes(buffer[:length])

    return call


#: Calls whose outcome the bytes alone decide.
CERTAIN: dict[str, Callable[[Any, int], Any]] = {
    "read": lambda file, size: file.read(size),
    "readline": lambda file, size: file.readline(),
    "readline with a limit": lambda file, size: file.readline(size),
    "readlines": lambda file, size: file.readlines(size),
    "next": lambda file, size: next(iter(file), None),
    "readinto": _into("readinto"),
    "read all": lambda file, size: file.read(),
    "readlines all": lambda file, size: file.readlines(),
}
#: Calls whose outcome the pieces decide too.
UNCERTAIN: dict[str, Callable[[Any, int], Any]] = {
    "read1": lambda file, size: file.read1(size),
    "read1 without a limit": lambda file, size: file.read1(),
    "peek": lambda file, size: file.peek(size),
    "readinto1": _into("readinto1"),
}
CALLS = CERTAIN | UNCERTAIN

Call = tuple[str, int]

calls = st.lists(st.tuples(st.sampled_from(sorted(CALLS)), st.integers(0, 40)), max_size=12)
pieces = st.lists(
    st.binary(min_size=1, max_size=3) | st.text("ab\n", min_size=1, max_size=30).map(str.encode), max_size=12
)
sizes_of_chunks = st.sampled_from([1, 2, 1 << 16, (1 << 16) - 1, (1 << 16) + 1, 100_000, 200_000])
big_pieces = st.lists(
    st.tuples(sizes_of_chunks, st.sampled_from([b"a", b"\n", b"a\n", b"abc\n"])).map(
        lambda drawn: (drawn[1] * (drawn[0] // len(drawn[1]) + 1))[: drawn[0]]
    ),
    max_size=4,
)
big_calls = st.lists(st.tuples(st.sampled_from(sorted(CALLS)), st.integers(0, 3) | sizes_of_chunks), max_size=8)
interrupted_pieces = st.lists(st.none() | st.binary(min_size=1, max_size=3) | st.just(b"ab\n"), max_size=12)


def check_like_the_standard_library(pieces: list[bytes], calls: list[Call]) -> None:
    """Check that each call returns what it returns of an `io.BufferedReader`."""
    source = Pieces(list(pieces))
    file = Reader(source, source)
    reference = io.BufferedReader(RawPieces(list(pieces)), BUFFER)
    for name, size in [*calls, ("read all", 0), ("read", 1)]:
        ours, theirs = CALLS[name](file, size), CALLS[name](reference, size)
        assert ours == theirs, f"{name} of {size}: {ours!r}, but should be {theirs!r}"
        assert type(ours) is type(theirs)
    file.close()
    assert source.files_closed == 1


def check_by_what_remains(pieces: list[bytes | None], calls: list[Call]) -> None:
    """Check that each call returns what its documentation says of the bytes that are left.

    A call of `recv` that fails makes the call fail, which is made again then.
    """
    data = b"".join(piece for piece in pieces if piece)
    source = Pieces(list(pieces))
    file = Reader(source, source)
    rest = io.BufferedReader(io.BytesIO(data), BUFFER)
    for name, size in [*calls, ("read all", 0)]:
        ours = _insisting(CALLS[name], file, size)
        if name in CERTAIN:
            theirs = CALLS[name](rest, size)
            assert ours == theirs, f"{name} of {size}: {ours!r}, but should be {theirs!r}"
            continue
        position = rest.tell()
        expected = rest.read()
        assert expected.startswith(ours), f"{name} of {size}: {ours!r}, but should begin {expected!r}"
        assert ours or not expected or (size == 0 and name in ("read1", "readinto1"))
        if name in ("read1", "readinto1"):
            assert len(ours) <= size
        rest.seek(position if name == "peek" else position + len(ours))


def _insisting(call: Callable[[Any, int], Any], file: Any, size: int) -> Any:
    """Make a call as often as it takes."""
    while True:
        with contextlib.suppress(Interrupted):
            return call(file, size)


CHECKS: dict[str, tuple[Callable[[Any, Any], None], Any, Any]] = {
    "as the standard library": (check_like_the_standard_library, pieces, calls),
    "in big pieces": (check_by_what_remains, big_pieces, big_calls),
    "with calls that fail": (check_by_what_remains, interrupted_pieces, calls),
}


def fuzz(name: str, cases: int, derandomize: bool = True) -> None:
    """Try a check with that many cases; raises what the simplest that fails raises."""
    check, pieces, calls = CHECKS[name]

    @settings(
        max_examples=cases,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(pieces, calls)
    def run(pieces: Any, calls: Any) -> None:
        check(pieces, calls)

    run()


def main(arguments: list[str] | None = None) -> int:
    """Try as many cases of each check as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.green.fuzz_streams", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--cases", type=int, default=100_000, metavar="N", help="how many cases of each kind to try")
    cases: int = parser.parse_args(arguments).cases
    for name in CHECKS:
        begun = time.monotonic()
        for done in range(0, cases, ROUND):
            fuzz(name, min(cases - done, ROUND), derandomize=False)
        print(f"{name}: {cases} cases in {time.monotonic() - begun:.0f} seconds, no difference ({NAME})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
