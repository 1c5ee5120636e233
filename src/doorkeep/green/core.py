"""The hub and its streams: compiled where they were built, in Python elsewhere or under `DOORKEEP_PURE=1`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["COMPILED", "NAME", "Channel", "Hub", "Reader", "SocketMethods", "Writer"]

COMPILED = False
if not TYPE_CHECKING and os.environ.get("DOORKEEP_PURE", "") in ("", "0"):
    try:
        from doorkeep.green.compiled.loop import NAME, Channel, Hub
        from doorkeep.green.compiled.streams import Reader, SocketMethods, Writer

        COMPILED = True
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("doorkeep."):
            raise
if not COMPILED:
    from doorkeep.green.pure.channel import Channel
    from doorkeep.green.pure.loop import NAME, Hub
    from doorkeep.green.pure.methods import SocketMethods
    from doorkeep.green.pure.streams import Reader, Writer
