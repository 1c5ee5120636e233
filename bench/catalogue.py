"""The works, and how well doorkeep wants to do at them, as data: a new one is a new entry here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from bench.load import Generated, Load, Requests
from bench.roster import (
    LIMIT,
    NGINX,
    Contender,
    applications,
    asynchronous,
    forking,
    green,
    limit,
    peers,
    pool,
    serial,
    threading,
    web,
)


@dataclass(frozen=True)
class Goal:
    """What doorkeep wants to reach: a bound for a value of a contender's results, as the median of the rounds.

    `value` is the name of a number of `bench.load.Result`. Where there is a `reference`, it is divided by that
    contender's in the same round. The bound is the least that will do, or under `at_most` the most.
    """

    contender: str
    bound: float
    reference: str | None = None
    value: str = "rate"
    at_most: bool = False


@dataclass(frozen=True)
class Case:
    """A work with its numbers: what contenders are measured at, round after round, and reported on in one page."""

    name: str
    description: str
    load: Load
    contenders: tuple[Contender, ...]
    unit: str = "messages"
    connections: int = 50
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True)
class Work:
    """Something to do, with every number of `connections` and every size of message in bytes.

    `description` has places for both. The goals are of one such pair each. `path` is what is asked for by HTTP, with a
    place for the size; without one the load generator does a work of this name.
    """

    name: str
    description: str
    contenders: tuple[Contender, ...]
    unit: str = "messages"
    connections: tuple[int, ...] = (50,)
    sizes: tuple[int, ...] = (64,)
    pipeline: int = 1
    path: str | None = None
    goals: Mapping[tuple[int, int], tuple[Goal, ...]] = field(default_factory=dict)

    def cases(self, connections: Sequence[int] = (), sizes: Sequence[int] = ()) -> Iterator[Case]:
        """Yield a case for each pair of the numbers given, or of the work's own where there are none."""
        for pair in product(connections or self.connections, sizes or self.sizes):
            yield self._case(*pair)

    def _case(self, connections: int, size: int) -> Case:
        alone = ((connections,), (size,)) == (self.connections, self.sizes)
        return Case(
            self.name if alone else f"{self.name}-{connections}x{size}",
            self.description.format(connections=f"{connections:,}", size=f"{size:,}"),
            self._load(connections, size),
            self.contenders,
            self.unit,
            connections,
            self.goals.get((connections, size), ()),
        )

    def _load(self, connections: int, size: int) -> Load:
        if self.path is not None:
            return Requests(self.path.format(size=size), connections)
        return Generated(self.name, connections, size, self.pipeline)


MANY = (Goal("green", 0.90, LIMIT), Goal("green", 1.0, "uvloop-protocols"), Goal("green", 0.5, value="slowest"))

WORKS = (
    Work(
        "echo",
        "{connections} persistent connections, each with one message of {size} bytes in flight.",
        (limit("tcp"), *green("echo"), *asynchronous("echo"), *threading("echo", 1000), *peers("echo")),
        connections=(1, 50, 1000, 10_000),
        sizes=(64, 1024),
        goals={
            (50, 64): (
                Goal("green", 0.95, LIMIT),
                Goal("green", 1.05, "uvloop-protocols"),
                Goal("green", 1.6, "gevent"),
                Goal("green", 3, "standard-threading"),
                Goal("green-pure", 1.0, "gevent"),
            ),
            (1000, 64): MANY,
            (10_000, 64): MANY,
        },
    ),
    Work(
        "lines",
        "{connections} persistent connections, each with 16 lines of {size} bytes in flight. The server in C echoes "
        "whatever comes, and looks for no lines.",
        (
            limit("tcp"),
            *green("lines"),
            *green("lines", coalesced=True),
            *asynchronous("lines"),
            *threading("lines"),
            *peers("lines"),
        ),
        unit="lines",
        pipeline=16,
        goals={(50, 64): (Goal("green-coalesced", 2, "uvloop-streams"), Goal("green-coalesced", 4, "gevent"))},
    ),
    Work(
        "connect",
        "{connections} clients, each of which connects, sends a line of {size} bytes, reads it back and the end of "
        "the stream, and connects again.",
        (
            limit("line"),
            *green("line"),
            *asynchronous("line"),
            *serial("line"),
            *threading("line"),
            pool("line"),
            *forking("line"),
            *peers("line"),
        ),
        unit="connections",
        goals={
            (50, 64): (
                Goal("green", 0.90, LIMIT),
                Goal("green", 3.5, "standard-threading"),
                Goal("threading", 1.5, "standard-threading"),
                Goal("pool", 3, "standard-threading"),
            )
        },
    ),
    Work(
        "udp",
        "{connections} clients, each with one datagram of {size} bytes in flight.",
        (
            limit("udp"),
            *green("datagram"),
            *asynchronous("datagram"),
            *serial("datagram"),
            *threading("datagram"),
            *peers("datagram"),
        ),
        unit="datagrams",
        goals={
            (50, 64): (
                Goal("green", 0.80, LIMIT),
                Goal("green", 1.3, "standard-serial"),
                Goal("green", 1.0, "uvloop-protocols"),
                Goal("serial", 1.3, "standard-serial"),
            )
        },
    ),
    Work(
        "idle",
        "{connections} connections are opened, used for one message of {size} bytes and held. The rate is that of "
        "opening them, and *KiB each* is by how much the server's resident memory has grown since it started, for "
        "each connection held.",
        (limit("tcp"), *green("echo"), *asynchronous("echo"), *threading("echo"), *peers("echo")),
        unit="connections",
        connections=(10_000,),
        goals={(10_000, 64): (Goal("green", 6, value="kibibytes_each", at_most=True),)},
    ),
    Work(
        "http",
        "{connections} persistent connections, each with one request in flight, which is answered with {size} bytes.",
        (*web("reply"), *applications()),
        unit="requests",
        sizes=(13,),
        path="/",
        goals={
            (50, 13): (
                Goal("green", 0.45, NGINX),
                Goal("green", 1.2, "granian"),
                Goal("green", 2, "uvicorn"),
                Goal("green", 2.5, "standard-threading"),
                Goal("green", 5, "gevent"),
                Goal("green-wsgi", 1.0, "granian"),
            )
        },
    ),
    Work(
        "files",
        "{connections} persistent connections, each of which asks again and again for a file of {size} bytes.",
        web("files"),
        unit="files",
        sizes=(4096, 1 << 20),
        path="/{size}",
        goals={(50, 4096): (Goal("green", 0.45, NGINX),), (50, 1 << 20): (Goal("green", 0.9, NGINX),)},
    ),
)
