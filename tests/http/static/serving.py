"""What the tests of static files serve, and how."""

from __future__ import annotations

import gzip
import io
import os
import time
from collections.abc import Callable
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import ForkingHTTPServer, HTTPServer, ThreadingHTTPServer, ThreadPoolHTTPServer
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.testing.served import Served

TEXT = b"0123456789" * 30
LARGE = os.urandom(3 << 20)
GZIPPED = gzip.compress(TEXT, mtime=0)

ServeFiles = Callable[..., Served[Any]]


def left_alone(path: Path) -> Path:
    """Let a file be as if nobody had changed it for an hour."""
    then = time.time() - 3600
    os.utime(path, (then, then))
    return path


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


every_model = pytest.mark.parametrize(
    "server_class", [ThreadingHTTPServer, GreenHTTPServer, ThreadPoolHTTPServer, ForkingHTTPServer, HTTPServer]
)


def read_head(answers: io.BufferedReader) -> Message:
    """Read the head of an answer, and return its headers."""
    answers.readline()
    lines = []
    while (line := answers.readline()) not in (b"\r\n", b""):
        lines.append(line)
    return BytesParser().parsebytes(b"".join(lines))
