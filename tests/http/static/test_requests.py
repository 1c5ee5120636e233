"""Requests for parts, under conditions, for compressed forms, and again."""

from __future__ import annotations

import os
import time
from email.parser import BytesParser
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from doorkeep.http import memory, static
from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.memory import FileMemory
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.served import Served
from tests.http.fetching import fetch
from tests.http.static.serving import (
    GZIPPED,
    LARGE,
    TEXT,
    Handler,
    ServeFiles,
    left_alone,
    read_head,
)


class TestRanges:
    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    @pytest.mark.parametrize(
        ("field", "part"),
        [("bytes=0-9", slice(10)), ("bytes=2000000-", slice(2000000, None)), ("bytes=-5", slice(-5, None))],
    )
    def test_one(self, server_class: type[HTTPServer], field: str, part: slice, serve_files: ServeFiles) -> None:
        response = fetch(serve_files(server_class), "/large.bin", Range=field)
        assert response.status == 206
        assert response.body == LARGE[part]
        first, stop, _ = part.indices(len(LARGE))
        assert response.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(LARGE)}"
        assert response.headers["Content-Type"] == "application/octet-stream"

    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    def test_several(self, server_class: type[HTTPServer], serve_files: ServeFiles) -> None:
        response = fetch(serve_files(server_class), "/large.bin", Range="bytes=5-9, 1000-2000000, -1")
        assert response.status == 206
        assert "Content-Range" not in response.headers
        # A MIME message, as any mail program reads it.
        message = BytesParser().parsebytes(
            b"Content-Type: " + response.headers["Content-Type"].encode() + b"\r\n\r\n" + response.body
        )
        assert message.get_content_type() == "multipart/byteranges"
        told = [part["Content-Range"] for part in message.walk() if not part.is_multipart()]
        size = len(LARGE)
        assert told == [f"bytes 5-9/{size}", f"bytes 1000-2000000/{size}", f"bytes {size - 1}-{size - 1}/{size}"]
        boundary = message.get_boundary()
        pieces = response.body.split(f"--{boundary}".encode())[1:-1]
        assert [piece.split(b"\r\n\r\n", 1)[1][:-2] for piece in pieces] == [
            LARGE[5:10],
            LARGE[1000:2000001],
            LARGE[-1:],
        ]

    def test_none_that_can_be_had(self, files: Served[Any]) -> None:
        response = fetch(files, "/text.txt", Range="bytes=300-")
        assert (response.status, response.body) == (416, b"")
        assert response.headers["Content-Range"] == "bytes */300"

    def test_if_range(self, files: Served[Any], folder: Path) -> None:
        os.utime(folder / "text.txt", (0, 86400))
        state = fetch(files, "/text.txt").headers
        for validator in (state["ETag"], state["Last-Modified"]):
            assert fetch(files, "/text.txt", Range="bytes=0-1", If_Range=validator).status == 206
        for other in ('"other"', "Fri, 02 Jan 1970 00:00:01 GMT"):
            response = fetch(files, "/text.txt", Range="bytes=0-1", If_Range=other)
            assert (response.status, response.body) == (200, TEXT)

    def test_a_condition_goes_before_a_range(self, files: Served[Any]) -> None:
        etag = fetch(files, "/text.txt").headers["ETag"]
        assert fetch(files, "/text.txt", Range="bytes=0-1", If_None_Match=etag).status == 304
        assert fetch(files, "/text.txt", Range="bytes=999-", If_Match='"other"').status == 412


class TestConditions:
    def test_not_modified(self, files: Served[Any]) -> None:
        first = fetch(files, "/text.txt").headers
        for name in ("ETag", "Last-Modified"):
            condition = {"ETag": "If_None_Match", "Last-Modified": "If_Modified_Since"}[name]
            response = fetch(files, "/text.txt", **{condition: first[name]})
            assert (response.status, response.body) == (304, b"")
            assert response.headers["ETag"] == first["ETag"]
            assert "Content-Length" not in response.headers

    def test_failed(self, files: Served[Any]) -> None:
        response = fetch(files, "/text.txt", If_Match='"other"')
        assert (response.status, response.headers["Content-Length"]) == (412, "0")

    def test_a_changed_file_has_another_tag(self, files: Served[Any], folder: Path) -> None:
        first = fetch(files, "/text.txt").headers["ETag"]
        (folder / "text.txt").write_text("changed")
        assert fetch(files, "/text.txt", If_None_Match=first).body == b"changed"

    @pytest.mark.parametrize("remembered", [FileMemory(), None])
    def test_a_change_that_does_not_show_is_seen(
        self, serve_files: ServeFiles, folder: Path, remembered: FileMemory | None
    ) -> None:
        """Two states of one size, within a tick of a clock that is not ours, and ahead of it."""
        path, tick = folder / "text.txt", time.time() + 3600
        served = serve_files(memory=remembered)
        etag = ""
        for content in (b"one", b"two"):
            path.write_bytes(content)
            os.utime(path, (tick, tick))
            response = fetch(served, "/text.txt", If_None_Match=etag)
            assert (response.status, response.body) == (200, content)
            etag = response.headers["ETag"]
            assert etag.startswith('W/"')
        assert fetch(served, "/text.txt", If_None_Match=etag).status == 200


class TestPrecompressed:
    @pytest.fixture
    def compressed(self, serve_files: ServeFiles, folder: Path) -> Served[Any]:
        for extension, content in ((".gz", GZIPPED), (".br", b"brotli"), (".zst", b"zstd")):
            (folder / f"text.txt{extension}").write_bytes(content)
            left_alone(folder / f"text.txt{extension}")
        return serve_files(precompressed=True)

    @pytest.mark.parametrize(
        ("accepted", "coding", "content"),
        [
            ("gzip", "gzip", GZIPPED),
            ("gzip, br;q=0.9", "gzip", GZIPPED),
            ("gzip, deflate, br, zstd", "br", b"brotli"),
            ("zstd, gzip;q=0.5", "zstd", b"zstd"),
            ("deflate", None, TEXT),
            ("gzip;q=0", None, TEXT),
        ],
    )
    def test_by_what_is_accepted(
        self, accepted: str, coding: str | None, content: bytes, compressed: Served[Any]
    ) -> None:
        response = fetch(compressed, "/text.txt", Accept_Encoding=accepted)
        assert response.headers["Content-Encoding"] == coding
        assert response.body == content
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["Vary"] == "Accept-Encoding"

    def test_each_has_its_tag_and_ranges(self, compressed: Served[Any]) -> None:
        plain = fetch(compressed, "/text.txt").headers["ETag"]
        brotli = fetch(compressed, "/text.txt", Accept_Encoding="br").headers["ETag"]
        assert plain != brotli
        assert fetch(compressed, "/text.txt", Accept_Encoding="br", If_None_Match=plain).status == 200
        not_modified = fetch(compressed, "/text.txt", Accept_Encoding="br", If_None_Match=brotli)
        assert (not_modified.status, not_modified.headers["Vary"]) == (304, "Accept-Encoding")
        part = fetch(compressed, "/text.txt", Accept_Encoding="br", Range="bytes=0-2")
        assert (part.body, part.headers["Content-Encoding"]) == (b"bro", "br")

    def test_none_that_is_older(self, compressed: Served[Any], folder: Path) -> None:
        os.utime(folder / "text.txt.br", (0, 0))
        assert fetch(compressed, "/text.txt", Accept_Encoding="br, gzip;q=0.5").headers["Content-Encoding"] == "gzip"

    def test_none_that_is_no_file(self, compressed: Served[Any], folder: Path) -> None:
        (folder / "text.txt.br").unlink()
        (folder / "text.txt.br").mkdir()
        assert fetch(compressed, "/text.txt", Accept_Encoding="br").body == TEXT

    def test_none_that_cannot_be_opened(self, compressed: Served[Any], folder: Path) -> None:
        (folder / "text.txt.br").unlink()
        os.mkfifo(folder / "text.txt.br")
        assert fetch(compressed, "/text.txt", Accept_Encoding="br").body == TEXT

    def test_index_pages_too(self, compressed: Served[Any], folder: Path) -> None:
        (folder / "sub" / "index.html.br").write_bytes(b"small")
        assert fetch(compressed, "/sub/", Accept_Encoding="br").body == b"small"

    def test_off_by_default(self, compressed: Served[Any], files: Served[Any]) -> None:
        assert fetch(files, "/text.txt", Accept_Encoding="br").body == TEXT

    def test_itself(self, compressed: Served[Any]) -> None:
        response = fetch(compressed, "/text.txt.gz", Accept_Encoding="gzip")
        assert response.headers["Content-Type"] == "application/gzip"
        assert "Content-Encoding" not in response.headers


class TestMemory:
    @pytest.fixture
    def remembering(self, serve_files: ServeFiles, monkeypatch: pytest.MonkeyPatch) -> Served[Any]:
        monkeypatch.setattr(memory, "_KEPT", 600.0)
        monkeypatch.setattr(FileMemory, "takes", lambda self, size, sources: size < 1000)
        return serve_files(memory=FileMemory(), precompressed=True, extra_response_headers=[("X-Extra", "1")])

    def test_the_answer_is_the_same(self, remembering: Served[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        first = fetch(remembering, "/text.txt")
        monkeypatch.setattr(static, "find", mock.Mock(side_effect=AssertionError("it is opened again")))
        again = fetch(remembering, "/text.txt")
        asked = fetch(remembering, "/text.txt", "HEAD")
        assert first.body == again.body == TEXT
        assert asked.body == b""
        for later in (again, asked):
            assert {**later.headers, "Date": ""} == {**first.headers, "Date": ""}

    def test_conditions_and_ranges_are_answered(self, remembering: Served[Any]) -> None:
        etag = fetch(remembering, "/text.txt").headers["ETag"]
        assert fetch(remembering, "/text.txt", If_None_Match=etag).status == 304
        assert fetch(remembering, "/text.txt", Range="bytes=1-2").body == b"12"

    def test_each_coding_has_its_own(self, remembering: Served[Any], folder: Path) -> None:
        (folder / "text.txt.br").write_bytes(b"brotli")
        for _ in range(2):
            assert fetch(remembering, "/text.txt").body == TEXT
            assert fetch(remembering, "/text.txt", Accept_Encoding="br").body == b"brotli"

    def test_a_compressed_form_does_not_outlive_what_it_stands_for(
        self, remembering: Served[Any], folder: Path
    ) -> None:
        (folder / "text.txt.br").write_bytes(b"brotli")
        left_alone(folder / "text.txt.br")
        assert fetch(remembering, "/text.txt", Accept_Encoding="br").body == b"brotli"
        (folder / "text.txt").write_text("changed")
        assert fetch(remembering, "/text.txt", Accept_Encoding="br").body == b"changed"

    def test_a_change_is_seen(self, remembering: Served[Any], folder: Path) -> None:
        assert fetch(remembering, "/text.txt").body == TEXT
        (folder / "text.txt").write_text("changed")
        assert fetch(remembering, "/text.txt").body == b"changed"
        (folder / "text.txt").unlink()
        assert fetch(remembering, "/text.txt").status == 404

    def test_large_files_are_sent_as_ever(self, remembering: Served[Any]) -> None:
        for _ in range(2):
            assert fetch(remembering, "/large.bin").body == LARGE

    def test_a_file_that_shrinks_before_it_is_kept(self, remembering: Served[Any], folder: Path) -> None:
        class Shrinking(Handler):
            memory = FileMemory()

            def end_headers(self) -> None:
                super().end_headers()
                os.truncate(folder / "text.txt", 10)

            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        told: list[str] = []
        remembering.server.RequestHandlerClass = partial(Shrinking, directory=folder)
        client = remembering.connect()
        client.sendall(b"GET /text.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as answers:
            read_head(answers)
            assert answers.read() == b""
        assert told == ["/text.txt: the file became shorter while it was sent"]
