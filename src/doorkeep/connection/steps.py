"""Whether a program has put something of its own in the place of a step of a request's way."""

from __future__ import annotations

__all__ = ["Steps"]


class Steps:
    """Some methods of a class, as they are when this is made.

    Where all are still in place, a server may go their way in one piece rather than by a call each.
    """

    def __init__(self, kind: type, *names: str) -> None:
        self._methods = {name: getattr(kind, name) for name in names}

    def are_plain_in(self, server: object) -> bool:
        """Return whether neither the server's class nor the server itself has others."""
        kind = type(server)
        methods = self._methods
        return all(getattr(kind, name) is method for name, method in methods.items()) and methods.keys().isdisjoint(
            vars(server)
        )
