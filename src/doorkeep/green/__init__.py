"""What a green handler may call: where it waits, other greenlets of the hub run.

Outside of a hub all of it waits as plain threads do, so that a handler can be tested, and served by another mix-in,
as it stands.
"""

from __future__ import annotations

from doorkeep.green.connecting import connect
from doorkeep.green.hub import run
from doorkeep.green.offloading import offload, offload_pool
from doorkeep.green.primitives import Event, Lock, Queue, Semaphore
from doorkeep.green.serving import serve
from doorkeep.green.sleeping import sleep
from doorkeep.green.tasks import Task, spawn
from doorkeep.green.timeouts import timeout

__all__ = [
    "Event",
    "Lock",
    "Queue",
    "Semaphore",
    "Task",
    "connect",
    "offload",
    "offload_pool",
    "run",
    "serve",
    "sleep",
    "spawn",
    "timeout",
]
