"""A socket that fails on cue."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["FaultySocket"]

Fault = BaseException | type[BaseException] | bytes | int | None


class FaultySocket(socket.socket):
    """A socket some of whose methods fail when told to.

        server.socket = FaultySocket(server.socket, accept=[OSError(errno.EMFILE, "none left"), None])

    Takes the descriptor of `sock` over, which is closed with this socket; `sock` itself is of no use any
    more, as after `SSLContext.wrap_socket`. Each keyword names a method, and lists what becomes of its calls,
    one after the other:

    * an exception is raised, and the real method not called;
    * None: the real method is called;
    * a number: the real method sees so many bytes at the most. `recv` and its like receive no more; `send`
      and its like send no more and return that; `sendall` raises `BrokenPipeError` after so many bytes, if
      there are more;
    * bytes are returned, or put into the buffer of `recv_into`, and the real method is not called.

    When the list is used up the calls go through. It may be any iterable, `itertools.repeat` too. Files from
    `makefile`, and so a handler's `rfile`, read through `recv_into`. `calls` counts the calls of each method
    that was named: name one with an empty list to have it counted alone.
    """

    def __init__(self, sock: socket.socket, **faults: Iterable[Fault]) -> None:
        for name in faults:
            if name.startswith("_") or not callable(getattr(socket.socket, name, None)):
                raise ValueError(f"a socket has no method {name!r}")
        timeout = sock.gettimeout()
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.settimeout(timeout)
        self.calls: Counter[str] = Counter()
        for name, list_of_faults in faults.items():
            setattr(self, name, self._failing(name, list_of_faults))

    def _failing(self, name: str, faults: Iterable[Fault]) -> Callable[..., Any]:
        real = getattr(self, name)
        remaining = iter(faults)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            fault = next(remaining, None)
            if fault is None:
                return real(*arguments, **options)
            if isinstance(fault, bytes):
                return _answer(name, fault, *arguments)
            if isinstance(fault, int):
                return _cut_short(name, real, fault, *arguments, **options)
            raise fault

        return call


def _answer(name: str, data: bytes, *arguments: Any) -> Any:
    if not name.endswith("_into"):
        return data
    with memoryview(arguments[0]).cast("B") as view:
        view[: len(data)] = data
    return len(data)


def _cut_short(name: str, real: Callable[..., Any], limit: int, first: Any, *rest: Any, **options: Any) -> Any:
    if name.startswith("send"):
        with memoryview(first).cast("B") as view:
            result = real(view[:limit], *rest, **options)
            if name == "sendall" and len(view) > limit:
                raise BrokenPipeError(f"cut short after {limit} bytes")
        return result
    if name.endswith("_into"):
        with memoryview(first).cast("B") as view:
            return real(view[:limit], 0, *rest[1:], **options)
    return real(min(first, limit), *rest, **options)
