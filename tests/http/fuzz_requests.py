"""Read requests by the million that are not quite requests.

    python -m tests.http.fuzz_requests --cases 1000000

Says what was read, and fails at the first case in which something other than an answer came out, in which the answer
depends on the pieces that the bytes came in, in which more was read than there was, or in which h11 or llhttp takes the
same bytes for other requests. The same `--seed` gives the same cases; `--first` begins with a later one.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from random import Random
from typing import Final

from tests.http.generated import any_bytes, valid_requests
from tests.http.peers import Reading, disagreement, read_by_h11, read_by_llhttp, read_by_us, read_by_us_at_once
from tests.http.reading import Answer, Pieces, Seen, answers_to, raw_and_decoded

# Calls of the reader that a byte may cost, and those that a request costs without any.
_CALLS_A_BYTE: Final = 2
_CALLS: Final = 10


class Counting(io.BytesIO):
    """Counts the calls that read it: how long a parser goes on does not depend on anything else."""

    calls = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.calls += 1
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        self.calls += 1
        return super().readline(size)


def fault_of(random: Random, counts: Counter[str]) -> tuple[bytes, str] | None:
    """Try one case; return its bytes and what is wrong, if anything is."""
    expected: list[Answer] | None = None
    if random.random() < 0.1:
        data, expected = valid_requests(random)
    else:
        data = any_bytes(random)
    reader = Counting(data)
    answers = answers_to(reader)
    for answer in answers:
        counts["requests" if isinstance(answer, Seen) else f"ended by {answer}"] += 1
    if expected is not None and answers != expected:
        return data, f"read as {answers}, which was {expected}"
    if reader.calls > _CALLS_A_BYTE * len(data) + _CALLS:
        return data, f"{reader.calls} calls to read it"
    pieces = list(_split(random, data))
    again = answers_to(io.BufferedReader(Pieces(pieces)))
    if again != answers:
        return data, f"read as {answers}, but in pieces {pieces} as {again}"
    raw = answers_to(io.BytesIO(data), read=raw_and_decoded)
    if raw != answers:
        return data, f"read as {answers}, but with bodies as they came as {raw}"
    for name, theirs, ours, at_once in (
        ("h11", read_by_h11(data), read_by_us(data, True), read_by_us_at_once(data, True)),
        ("llhttp", read_by_llhttp(data), read_by_us(data), read_by_us_at_once(data)),
    ):
        if at_once != ours:
            return data, f"read as {ours}, but at once as {at_once}"
        counts[f"requests that {name} takes too"] += _in_common(ours, theirs)
        difference = disagreement(ours, theirs)
        if difference is not None:
            return data, f"{name} reads otherwise than we do:\n{difference}"
    return None


def _in_common(ours: Reading, theirs: Reading) -> int:
    return sum(one == other and not isinstance(one, int | str) for one, other in zip(ours, theirs, strict=False))


def _split(random: Random, data: bytes) -> list[bytes]:
    places = sorted(random.randint(0, len(data)) for _ in range(random.randint(1, 4)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """Try the cases; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.http.fuzz_requests", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--cases", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (%(default)s)")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    for number in range(options.first, options.first + options.cases):
        try:
            fault = fault_of(Random(f"{options.seed} {number}"), counts)
        except BaseException:
            print(f"seed {options.seed}, case {number}:", file=sys.stderr)
            raise
        if fault is not None:
            print(f"seed {options.seed}, case {number}: {fault[0]!r}\n{fault[1]}", file=sys.stderr)
            return 1
        done = number - options.first + 1
        if done % 50_000 == 0:
            print(f"{done} cases", flush=True)
    print(f"{options.cases} cases from {options.first} on, seed {options.seed}: no fault")
    for name, count in counts.most_common():
        print(f"{count:10} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
