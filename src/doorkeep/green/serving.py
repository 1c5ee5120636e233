"""Several servers in one hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent

from doorkeep.green.hub import current_hub, run
from doorkeep.green.primitives import Queue

if TYPE_CHECKING:
    from doorkeep.concurrency.greenlets import GreenMixIn

__all__ = ["serve"]


def serve(*servers: GreenMixIn, poll_interval: float = 0.5) -> None:
    """Run the `serve_forever` of green servers side by side in this thread, until all have ended.

    Each is ended by its own `shutdown`. An exception that leaves one, as `KeyboardInterrupt` does, ends the others
    at once, and is raised; requests in progress are then left to `server_close`. Does not close the servers.
    `TypeError` if one is not green, `ValueError` if one is given twice.
    """
    from doorkeep.concurrency.greenlets import GreenMixIn  # which is made of this package

    for server in servers:
        if not isinstance(server, GreenMixIn):
            raise TypeError(f"only servers with GreenMixIn share a hub, and {type(server).__name__} has none")
    if len({id(server) for server in servers}) < len(servers):
        raise ValueError("a server is given twice")
    run(_serve, servers, poll_interval)


def _serve(servers: tuple[GreenMixIn, ...], poll_interval: float) -> None:
    hub = current_hub()
    assert hub is not None  # as `run` has called us
    loops: set[Any] = set()
    ended: Queue[BaseException | None] = Queue()

    def serve_one(server: GreenMixIn) -> None:
        me = getcurrent()
        loops.add(me)
        failure = None
        try:
            server.serve_forever(poll_interval)
        except BaseException as error:
            failure = error
        loops.discard(me)
        ended.put(failure)

    for server in servers:
        hub.start(serve_one, server)
    try:
        for _ in servers:
            failure = ended.get()
            if failure is not None:
                raise failure
    except BaseException:
        for greenlet in loops:
            hub.interrupt(greenlet, GreenletExit())
        while loops:
            ended.get()
        raise
