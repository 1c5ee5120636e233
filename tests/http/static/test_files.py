"""Whole files: their content, types and charset, and what becomes of them while they are sent."""

from __future__ import annotations

import os
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from doorkeep.http.green import GreenHTTPServer
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.fetching import fetch
from tests.http.static.serving import (
    LARGE,
    TEXT,
    Handler,
    ServeFiles,
    every_model,
    read_head,
)


class TestWholeFiles:
    @every_model
    def test_small_and_large_on_one_connection(self, server_class: type[HTTPServer], serve_files: ServeFiles) -> None:
        client = serve_files(server_class).client
        client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET /text.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as answers:
            for content in (LARGE, TEXT):
                head = read_head(answers)
                assert head["Content-Length"] == str(len(content))
                assert answers.read(len(content)) == content

    @every_model
    def test_under_tls(self, server_class: type[HTTPServer], serve_files: ServeFiles, tmp_path: Path) -> None:
        authority = trustme.CA()
        certificate = tmp_path / "server.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        served = serve_files(server_class, settings={"tls_certificate": certificate})
        with context.wrap_socket(served.connect(), server_hostname="localhost") as client:
            client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET /text.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            with client.makefile("rb") as answers:
                for content in (LARGE, TEXT):
                    read_head(answers)
                    assert answers.read(len(content)) == content

    def test_headers(self, files: Served[Any], folder: Path) -> None:
        os.utime(folder / "text.txt", (0, 86400))
        response = fetch(files, "/text.txt")
        assert response.body == TEXT
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["Content-Length"] == "300"
        assert response.headers["Last-Modified"] == "Fri, 02 Jan 1970 00:00:00 GMT"
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["ETag"].startswith('"')
        assert "Vary" not in response.headers

    def test_head(self, files: Served[Any]) -> None:
        got, asked = fetch(files, "/text.txt"), fetch(files, "/text.txt", "HEAD", Range="bytes=0-1")
        assert (asked.status, asked.body) == (200, b"")
        assert {**asked.headers, "Date": ""} == {**got.headers, "Date": ""}

    def test_an_empty_file(self, files: Served[Any]) -> None:
        response = fetch(files, "/nothing.txt")
        assert (response.status, response.body, response.headers["Content-Length"]) == (200, b"", "0")

    def test_index_pages(self, files: Served[Any], serve_files: ServeFiles, folder: Path) -> None:
        assert fetch(files, "/sub/").body == b"<p>index</p>"
        other = serve_files(index_pages=("missing", "empty", "start.txt"))
        (folder / "sub" / "start.txt").write_text("start")
        assert fetch(other, "/sub/").body == b"start"

    def test_a_directory_that_is_named_like_an_index_page(self, files: Served[Any], folder: Path) -> None:
        (folder / "sub" / "empty" / "index.html").mkdir()
        assert b"Directory listing" in fetch(files, "/sub/empty/").body

    @pytest.mark.parametrize("target", ["/a%20b%26c.txt", "/sub/../a%20b&c.txt?x=1#y", "a%20b&c.txt", "/./a b&c.txt"])
    def test_names(self, target: str, files: Served[Any]) -> None:
        answer = files.exchange(f"GET {target.replace(' b', '%20b')} HTTP/1.0\r\n\r\n".encode())
        assert answer.endswith(b"\r\n\r\nnamed")

    def test_a_name_that_is_no_text(self, files: Served[Any], folder: Path) -> None:
        (folder / "caf\udce9.txt").write_text("latin-1")
        assert fetch(files, "/caf%ED%B3%A9.txt").body == b"latin-1"

    def test_extra_headers(self, serve: Serve, serve_files: ServeFiles, folder: Path) -> None:
        extra = [("Cache-Control", "no-store"), ("X-Twice", "a"), ("X-Twice", "b")]
        given = serve(ThreadingHTTPServer, partial(Handler, directory=folder, extra_response_headers=extra))
        for served in (given, serve_files(extra_response_headers=extra)):
            for target in ("/text.txt", "/"):
                headers = fetch(served, target).headers
                assert headers["Cache-Control"] == "no-store"
                assert headers["X-Twice"] == "a"

    def test_without_a_directory_the_current_one(
        self, serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(folder)
        assert fetch(serve(ThreadingHTTPServer, Handler), "/text.txt").body == TEXT


class TestTypes:
    @pytest.mark.parametrize(
        ("name", "media_type"),
        [
            ("a.html", "text/html"),
            ("a.PNG", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("a.css.br", "application/octet-stream"),
            ("a.Z", "application/octet-stream"),
            ("a.woff2", "font/woff2"),
            ("a.webp", "image/webp"),
            ("README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ],
    )
    def test_by_extension(self, name: str, media_type: str, files: Served[Any], folder: Path) -> None:
        (folder / name).touch()
        assert fetch(files, f"/{name}").headers["Content-Type"] == media_type

    def test_extensions_map_goes_first(self, serve_files: ServeFiles) -> None:
        served = serve_files(extensions_map={".txt": "text/x-mine"})
        assert fetch(served, "/text.txt").headers["Content-Type"] == "text/x-mine"

    def test_charset(self, serve_files: ServeFiles, folder: Path) -> None:
        (folder / "told.html").touch()
        own = {".html": "text/html; Charset=latin-1"}
        served = serve_files(text_charset="utf-8", extensions_map=own)
        types = [fetch(served, f"/{name}").headers["Content-Type"] for name in ("text.txt", "large.bin", "told.html")]
        assert types == ["text/plain; charset=utf-8", "application/octet-stream", "text/html; Charset=latin-1"]


class TestWhileItIsSent:
    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    def test_a_file_that_shrinks(
        self, server_class: type[HTTPServer], serve_files: ServeFiles, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        told = []

        class Shrinking(Handler):
            def end_headers(self) -> None:
                super().end_headers()
                os.truncate(folder / "large.bin", 1000)

            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        client = serve_files(server_class, Shrinking).client
        client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET /text.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as answers:
            assert read_head(answers)["Content-Length"] == str(len(LARGE))
            rest = answers.read()  # to the end: the connection closes
        assert rest == LARGE[:1000]
        assert told == ["/large.bin: the file became shorter while it was sent"]

    def test_a_file_that_grows(self, serve_files: ServeFiles, folder: Path) -> None:
        class Growing(Handler):
            def end_headers(self) -> None:
                super().end_headers()
                with (folder / "large.bin").open("ab") as file:
                    file.write(b"more")

        client = serve_files(handler=Growing).client
        client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET /missing HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as answers:
            read_head(answers)
            assert answers.read(len(LARGE)) == LARGE
            assert answers.readline() == b"HTTP/1.1 404 File not found\r\n"

    @pytest.mark.parametrize("server_class", [ThreadingHTTPServer, GreenHTTPServer])
    def test_a_client_that_goes(self, server_class: type[HTTPServer], serve_files: ServeFiles) -> None:
        served = serve_files(server_class)
        with served.connect() as client:
            client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(1000)
        assert fetch(served, "/text.txt").body == TEXT


def test_a_file_is_closed_when_its_answer_fails(serve_files: ServeFiles) -> None:
    """The test fails, as all do, if a file stays open."""

    class Failing(Handler):
        def guess_type(self, path: Any) -> str:
            self.close_connection = True
            raise ConnectionResetError

    assert serve_files(handler=Failing).exchange(b"GET /text.txt HTTP/1.0\r\n\r\n") == b""
