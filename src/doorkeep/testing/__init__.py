"""What tests of handlers and servers need.

`serving` runs a server for the length of a block, `converse` runs a handler with no server and no socket at
all, `FaultySocket` fails on cue, `events_of` records what happens, `no_leaks` finds what is left behind. The
pytest plugin `doorkeep.testing.plugin` has `serving` as the fixture `serve`.
"""

from __future__ import annotations

from doorkeep.testing.conversation import converse
from doorkeep.testing.faults import FaultySocket
from doorkeep.testing.leaks import LeakError, no_leaks
from doorkeep.testing.recorder import Recorder, events_of
from doorkeep.testing.served import Served, serving

__all__ = ["FaultySocket", "LeakError", "Recorder", "Served", "converse", "events_of", "no_leaks", "serving"]
