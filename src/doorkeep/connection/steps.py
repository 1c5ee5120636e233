"""Whether a program has put something of its own in the place of a step of a request's way."""

from __future__ import annotations

__all__ = ["Steps"]


class Steps:
    """Some methods of a class, as they are when this is made.

    Where all are still in place, their way may be gone in one piece rather than by a call each.
    """

    def __init__(self, kind: type, *names: str) -> None:
        self._methods = {name: getattr(kind, name) for name in names}

    def are_plain_in(self, server: object) -> bool:
        """Return whether neither the server's class nor the server itself has others."""
        return self.are_plain_of(type(server)) and self._methods.keys().isdisjoint(vars(server))

    def are_plain_of(self, kind: type) -> bool:
        """Return whether a class has none in the place of them."""
        return all(getattr(kind, name, None) is method for name, method in self._methods.items())
