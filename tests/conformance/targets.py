"""What the behaviours are tested on: each concurrency model over each transport, and what they cannot do by design.

A model that `doorkeep.operate.models` offers is tested. It needs a row in `LACKS`, empty if it can do everything.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import pytest

from doorkeep.errors import DoorkeepError
from doorkeep.operate.models import MODELS, Model
from tests import prerequisites

STREAMS = ("tcp", "tls", "unix")
DATAGRAMS = ("udp", "unixgram")


class Need(enum.Enum):
    """What a test may need of its target."""

    SIDE_BY_SIDE = "has several requests in progress at once"
    SHARED_MEMORY = "has its handlers in the process that serves"
    SURVIVORS = "has requests that go on when the server is closed"
    SHELTERED_LOOP = "runs handle_error outside of serve_forever"
    SOCKET = "gives handlers a socket"
    TASKS = "runs handlers that are coroutines"
    HALF_CLOSE = "lets a server end its direction of a connection alone"
    FLAGS = "takes flags and control data on a connection"
    DETACHABLE = "has connections that go on without their socket object"
    ENCRYPTED = "encrypts"
    PLAIN = "does not encrypt"
    PATHS = "has paths for addresses"


# By model or transport: what it lacks, and why.
LACKS: dict[str, dict[Need, str]] = {
    "sync": {
        Need.TASKS: "its handlers are plain functions",
        Need.SIDE_BY_SIDE: "it ends a request before it takes the next",
        Need.SURVIVORS: "it has no request in progress when serve_forever has ended",
        Need.SHELTERED_LOOP: "what handle_error raises leaves serve_forever, as in the standard library",
    },
    "thread": {Need.TASKS: "its handlers are plain functions"},
    "pool": {Need.TASKS: "its handlers are plain functions"},
    "fork": {
        Need.TASKS: "its handlers are plain functions",
        Need.SHARED_MEMORY: "a child has its own copy of the server",
    },
    "green": {
        Need.TASKS: "its handlers are plain functions",
        Need.SURVIVORS: "greenlets end with the thread that runs them",
    },
    "async": {Need.SOCKET: "its handlers have a reader and a writer"},
    "tcp": {Need.ENCRYPTED: "it is plain", Need.PATHS: "its addresses are hosts and ports"},
    "tls": {
        Need.PLAIN: "it is encrypted",
        Need.PATHS: "its addresses are hosts and ports",
        Need.HALF_CLOSE: "ssl.SSLSocket.shutdown gives the encryption up in both directions",
        Need.FLAGS: "ssl.SSLSocket refuses flags and control data",
        Need.DETACHABLE: "what is detached from an ssl.SSLSocket is not encrypted any more",
    },
    "unix": {Need.ENCRYPTED: "it is plain"},
    "udp": {Need.PATHS: "its addresses are hosts and ports"},
    "unixgram": {},
}


@dataclass(frozen=True)
class Target:
    """A concurrency model over a transport."""

    model: str
    transport: str

    def __str__(self) -> str:
        return f"{self.model} over {self.transport}"

    def reason_against(self, need: Need) -> str | None:
        """Return why it cannot do something, or None if it can."""
        return LACKS[self.model].get(need) or LACKS[self.transport].get(need)

    @property
    def runs_tasks(self) -> bool:
        """Whether its handlers are coroutines."""
        return self.reason_against(Need.TASKS) is None

    @property
    def server_class(self) -> Any:
        """Its server class; the calling test ends here where the machine lacks what that needs."""
        try:
            return Model(self.model).server_class("tcp" if self.transport == "tls" else self.transport)
        except DoorkeepError as error:
            prerequisites.lack(str(error))


def streams(*needs: Need) -> pytest.MarkDecorator:
    """Run a test on each model over each transport of connections that can do what it needs."""
    return _on(STREAMS, needs)


def datagrams(*needs: Need) -> pytest.MarkDecorator:
    """Run a test on each model over each transport of datagrams that can do what it needs."""
    return _on(DATAGRAMS, needs)


def _on(transports: tuple[str, ...], needs: tuple[Need, ...]) -> pytest.MarkDecorator:
    every = [Target(model, transport) for model in MODELS for transport in transports]
    able = [target for target in every if not any(target.reason_against(need) for need in needs)]
    return pytest.mark.parametrize("target", able, ids=str)
