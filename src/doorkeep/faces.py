"""How a face writes through: what a program patches in `doorkeep.socketserver` must reach where it is used."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["write_through"]


def write_through(face: str, rooms: tuple[ModuleType, ...]) -> None:
    """Let an assignment to a name of the module `face` reach each of `rooms` that has the same name.

    Programs and their tests replace `socketserver._ServerSelector`, or `socketserver.threading` by another's, and
    mean the code behind.
    """

    class Face(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            for room in rooms:
                if name in vars(room) and not name.startswith("__"):
                    setattr(room, name, value)

    sys.modules[face].__class__ = Face
