"""Servers that run together, and end together when they are told to."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn, Self

from doorkeep.server import BaseServer

__all__ = ["ServerGroup"]

logger = logging.getLogger("doorkeep.operate")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServerGroup:
    """Servers that run until a signal comes or one of them ends, and then all end.

    A context manager, for the main thread: while its block lasts, SIGINT and SIGTERM end the group. Each server runs
    in a thread of its own, so that the main thread is free for signals. The end is a drain, as long as each server's
    `drain_timeout` allows; a second signal ends the process at once.
    """

    def __init__(self, servers: Sequence[BaseServer]) -> None:
        self.servers = servers
        self._ending = False
        self._ended: list[BaseServer] = []
        self._process = os.getpid()
        self._status = 0
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        # What the main thread waits for arrives here, signals by way of the interpreter. A signal that comes just
        # before a wait for a lock, or in another thread, would not end that wait.
        self._news, self._bell = socket.socketpair()
        self._undo.callback(self._news.close)
        self._undo.callback(self._bell.close)
        self._bell.setblocking(False)
        before = signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, before)
        for number in _SIGNALS:
            self._undo.callback(signal.signal, number, signal.signal(number, self._on_signal))
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def run(self) -> int:
        """Serve until the end, and return the exit status: 1 if a server failed, else 0. For the group's block.

        Closes the servers. Does not return, but exits, if handlers are left that did not end when their
        connections were cut.
        """
        for server in self.servers:
            threading.Thread(target=self._serve, args=(server,), name="serve_forever", daemon=True).start()
        self._wait_until(lambda: self._ending)
        logger.info("ending, once requests in progress have finished")
        for server in self.servers:
            threading.Thread(target=self._end, args=(server,), daemon=True).start()
        self._wait_until(lambda: len(self._ended) == len(self.servers))
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
            self._ending = True
            self._wake()

    def _end(self, server: BaseServer) -> None:
        try:
            server.drain(server.drain_timeout)
            server.server_close()
        finally:
            self._ended.append(server)
            self._wake()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.recv(4096)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # there is news in plenty, or the block has ended
            self._bell.send(b"\0")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._on_signal_in_child(number)
        elif self._ending:
            self._exit_now()
        else:
            self._ending = True

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
