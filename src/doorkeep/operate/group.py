"""Servers that run together, and end together when they are told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import NoReturn

from doorkeep.server import BaseServer

__all__ = ["ServerGroup"]

logger = logging.getLogger("doorkeep.operate")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServerGroup:
    """Servers that run until a signal comes or one of them ends, and then all end.

    Each runs in a thread of its own, so that the main thread is free for signals. The end is a drain, as long as
    each server's `drain_timeout` allows; a second signal ends the process at once.
    """

    def __init__(self, servers: Sequence[BaseServer]) -> None:
        self.servers = servers
        # Its `put` is reentrant, as a signal handler needs; that of no lock, event or condition is.
        self._end_begins: SimpleQueue[None] = SimpleQueue()
        self._ending = False
        self._process = os.getpid()
        self._status = 0

    @contextmanager
    def listening_to_signals(self) -> Iterator[None]:
        """Have SIGINT and SIGTERM end the group, while the block lasts; for the main thread."""
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self) -> int:
        """Serve until the end, and return the exit status: 1 if a server failed, else 0.

        Closes the servers. Does not return, but exits, if handlers are left that did not end when their
        connections were cut.
        """
        for server in self.servers:
            threading.Thread(target=self._serve, args=(server,), name="serve_forever", daemon=True).start()
        self._end_begins.get()
        self._ending = True
        logger.info("ending, once requests in progress have finished")
        endings = [threading.Thread(target=_end, args=(server,), daemon=True) for server in self.servers]
        for ending in endings:
            ending.start()
        for ending in endings:
            ending.join()
        left = sum(server.stats().active for server in self.servers)
        if left:
            logger.warning("requests that did not end and are left behind: %d", left)
            self._exit_now()
        return self._status

    def _serve(self, server: BaseServer) -> None:
        try:
            server.serve_forever()
        except (KeyboardInterrupt, SystemExit):  # raised by a handler that runs in this thread
            pass
        except BaseException:
            logger.exception("a server failed")
            self._status = 1
        finally:
            self._end_begins.put(None)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._on_signal_in_child(number)
        elif self._ending:
            self._exit_now()
        else:
            self._ending = True
            self._end_begins.put(None)

    def _on_signal_in_child(self, number: int) -> None:
        # Ctrl-C reaches the children too, but how long they may go on is for the server to say, by SIGTERM.
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _exit_now(self) -> NoReturn:
        for server in self.servers:
            for pid in list(getattr(server, "active_children", None) or ()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # the signal may have come amid a write
            sys.stdout.flush()
        os._exit(self._status)


def _end(server: BaseServer) -> None:
    server.drain(server.drain_timeout)
    server.server_close()
