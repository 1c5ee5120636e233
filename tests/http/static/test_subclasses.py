"""SimpleHTTPRequestHandler as programs have subclassed the standard one."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

from tests.http.fetching import fetch
from tests.http.static.serving import (
    LARGE,
    TEXT,
    Handler,
    ServeFiles,
)


class TestSubclasses:
    """What programs override, and what they lean on."""

    def test_send_head_returns_a_file(self, serve_files: ServeFiles) -> None:
        class Upper(Handler):
            def do_GET(self) -> None:
                with self.send_head() as content:
                    self.wfile.write(content.read().replace(b"0", b"x"))

        assert fetch(serve_files(handler=Upper), "/text.txt").body == TEXT.replace(b"0", b"x")

    def test_copyfile_reads_and_writes(self, serve_files: ServeFiles) -> None:
        class Slow(Handler):
            def copyfile(self, source: Any, outputfile: Any) -> None:
                shutil.copyfileobj(source, outputfile, 1000)

        assert fetch(serve_files(handler=Slow), "/large.bin").body == LARGE
        assert fetch(serve_files(handler=Slow), "/large.bin", Range="bytes=5-2004").body == LARGE[5:2005]

    def test_copyfile_of_other_files(self, serve_files: ServeFiles) -> None:
        class Own(Handler):
            def send_head(self) -> Any:
                self.send_response(200)
                self.send_header("Content-Length", "3")
                self.end_headers()
                return io.BytesIO(b"own")

        assert fetch(serve_files(handler=Own), "/").body == b"own"

    def test_wfile_of_its_own(self, serve_files: ServeFiles) -> None:
        class Compressing(Handler):
            def do_GET(self) -> None:
                connection = self.wfile
                content = self.send_head()
                with content, gzip.GzipFile(fileobj=connection, mode="wb") as self.wfile:
                    self.copyfile(content, self.wfile)
                self.wfile = connection
                self.close_connection = True

            def send_header(self, keyword: str, value: Any) -> None:
                if keyword != "Content-Length":
                    super().send_header(keyword, value)

        served = serve_files(handler=Compressing, protocol_version="HTTP/1.0")
        assert gzip.decompress(fetch(served, "/large.bin").body) == LARGE

    def test_a_setup_of_its_own(self, serve_files: ServeFiles) -> None:
        class OwnSetup(Handler):
            def setup(self) -> None:
                self.connection = self.request
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb")

        assert fetch(serve_files(handler=OwnSetup), "/large.bin").body == LARGE

    def test_overridden_points(self, serve_files: ServeFiles, folder: Path) -> None:
        class Overriding(Handler):
            def translate_path(self, path: str) -> str:
                return super().translate_path(path.replace("alias", "text.txt"))

            def guess_type(self, path: Any) -> str:
                assert path == str(folder / "text.txt")
                return "text/x-guessed"

            def list_directory(self, path: str) -> Any:
                self.send_error(403, f"no listing of {os.path.basename(path.rstrip('/'))}")

            def end_headers(self) -> None:
                self.send_header("Access-Control-Allow-Origin", "*")
                super().end_headers()

        served = serve_files(handler=Overriding)
        response = fetch(served, "/alias")
        assert response.headers["Content-Type"] == "text/x-guessed"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        refusal = fetch(served, "/sub/empty/")
        assert (refusal.status, refusal.reason) == (403, "no listing of empty")

    def test_in_memory(self, folder: Path) -> None:
        """As tests of programs call handlers: with a request that is no socket."""
        request = mock.Mock()
        request.makefile.return_value = io.BytesIO(b"GET /text.txt HTTP/1.0\r\n\r\n")
        written = io.BytesIO()

        class InMemory(Handler):
            def setup(self) -> None:
                super().setup()
                self.wfile = written

            def finish(self) -> None:
                pass

        InMemory(request, ("127.0.0.1", 1), mock.Mock(), directory=folder)
        assert written.getvalue().endswith(TEXT)

    def test_translate_path(self, folder: Path) -> None:
        handler = Handler.__new__(Handler)
        for directory in (str(folder), f"{folder}/", "."):
            handler.directory = directory
            for path in ("/a/b.txt", "/a/b%2Etxt", "//a//b.txt", "a/b.txt?x#y", "/a/./c/../b.txt#y"):
                assert handler.translate_path(path) == os.path.join(directory, "a", "b.txt")
            assert handler.translate_path("/a/") == os.path.join(directory, "a/")
            assert handler.translate_path("/") == directory + "/"
            assert handler.translate_path("/.hidden") == os.path.join(directory, ".hidden")
