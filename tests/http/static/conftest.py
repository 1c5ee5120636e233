"""A directory to serve, and a server of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.static.serving import (
    LARGE,
    TEXT,
    Handler,
    ServeFiles,
    left_alone,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory to serve, in one that is not."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "folder"
    (folder / "sub" / "empty").mkdir(parents=True)
    (folder / "text.txt").write_bytes(TEXT)
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "nothing.txt").touch()
    (folder / "sub" / "index.html").write_text("<p>index</p>")
    (folder / "a b&c.txt").write_text("named")
    for path in folder.rglob("*.*"):
        left_alone(path)
    return folder


@pytest.fixture
def serve_files(serve: Serve, folder: Path) -> ServeFiles:
    """Serve the folder by a handler with these attributes."""

    def serve_folder(
        server_class: type[HTTPServer] = ThreadingHTTPServer,
        handler: type[SimpleHTTPRequestHandler] = Handler,
        settings: dict[str, Any] | None = None,
        **attributes: Any,
    ) -> Served[Any]:
        handler = type("Configured", (handler,), attributes)
        return serve(server_class, partial(handler, directory=folder), **settings or {})

    return serve_folder


@pytest.fixture
def files(serve_files: ServeFiles) -> Served[Any]:
    return serve_files()
