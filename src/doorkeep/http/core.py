"""What is compiled of HTTP where it was built; in Python elsewhere, or under `DOORKEEP_PURE=1`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["COMPILED", "ResponseHeadMixIn", "plain_head"]

COMPILED = False
if not TYPE_CHECKING and os.environ.get("DOORKEEP_PURE", "") in ("", "0"):
    try:
        from doorkeep.http.compiled.heads import plain_head
        from doorkeep.http.compiled.response_heads import ResponseHeadMixIn

        COMPILED = True
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("doorkeep."):
            raise
if not COMPILED:
    from doorkeep.http.pure.heads import plain_head
    from doorkeep.http.pure.response_heads import ResponseHeadMixIn
