"""What leads out of the directory, or nowhere; and the directory itself."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorkeep.http import paths, static
from doorkeep.http.green import GreenHTTPServer
from doorkeep.testing.served import Served
from tests.background import Background
from tests.http.fetching import fetch
from tests.http.static.serving import (
    TEXT,
    Handler,
    ServeFiles,
)


class TestWaysOut:
    """What leads out of the directory, or nowhere."""

    TARGETS = (
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/.%2e/secret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%5c..%5csecret.txt",
        "/....//secret.txt",
        "/..;/secret.txt",
        "/%252e%252e/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%00/../secret.txt",
        "/text.txt%00",
        "/text.txt%00.html",
        "/%2e%2e%00/secret.txt",
        "//../secret.txt",
        "/./.././secret.txt",
        "../secret.txt",
        "http://x/../secret.txt",
        "/text.txt/",
        "/text.txt/..%2f..%2fsecret.txt",
        "/" + "x" * 5000,
        "/" + "../" * 500 + "secret.txt",
        "/text.txt/x",
        "/missing",
        "/missing/",
    )

    @pytest.mark.parametrize("follow_links", [True, False])
    def test_not_found(self, follow_links: bool, serve_files: ServeFiles) -> None:
        served = serve_files(follow_links=follow_links)
        for target in self.TARGETS:
            answer = served.exchange(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            assert b" 404 " in answer.splitlines()[0], target
            assert b"secret" not in answer

    def test_links_are_followed_by_default(self, files: Served[Any], folder: Path) -> None:
        (folder / "link.txt").symlink_to("../secret.txt")
        (folder / "up").symlink_to("..")
        assert fetch(files, "/link.txt").body == fetch(files, "/up/secret.txt").body == b"secret"
        assert b">link.txt@<" in fetch(files, "/").body

    def test_links_may_be_kept_within(self, serve_files: ServeFiles, folder: Path) -> None:
        (folder / "link.txt").symlink_to("../secret.txt")
        (folder / "up").symlink_to("..")
        (folder / "inside.txt").symlink_to("text.txt")
        (folder / "dir").symlink_to("sub")
        served = serve_files(follow_links=False)
        for target in ("/link.txt", "/up/secret.txt", "/up/", "/up", "/sub/../up/secret.txt"):
            assert fetch(served, target).status == 404
        assert fetch(served, "/inside.txt").body == TEXT
        assert fetch(served, "/dir/").body == b"<p>index</p>"
        page = fetch(served, "/").body
        assert b">inside.txt@<" in page
        assert b"link.txt" not in page

    def test_a_translation_that_leads_elsewhere_is_kept_within(self, serve_files: ServeFiles, folder: Path) -> None:
        def translate_path(self: Any, path: str) -> str:
            return str(folder.parent / "secret.txt")

        assert fetch(serve_files(translate_path=translate_path), "/x").body == b"secret"
        assert fetch(serve_files(translate_path=translate_path, follow_links=False), "/x").status == 404

    @pytest.mark.parametrize("follow_links", [True, False])
    def test_what_is_no_file(self, follow_links: bool, serve_files: ServeFiles, folder: Path) -> None:
        os.mkfifo(folder / "fifo")
        (folder / "device").symlink_to("/dev/zero")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "sock"))
            served = serve_files(follow_links=follow_links)
            assert [fetch(served, target).status for target in ("/fifo", "/device", "/sock")] == [404] * 3

    @pytest.mark.parametrize(
        ("number", "status"), [(errno.EACCES, 404), (errno.EMFILE, 503), (errno.ENFILE, 503), (errno.ENOMEM, 503)]
    )
    def test_what_the_system_cannot_open(
        self, number: int, status: int, files: Served[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(static, "find", mock.Mock(side_effect=OSError(number, os.strerror(number))))
        assert fetch(files, "/text.txt").status == status

    def test_who_runs_the_server_learns_why(
        self, serve_files: ServeFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is not there is asked for all the time; what cannot be read should be looked after."""
        told = []

        class Tells(Handler):
            def log_error(self, format: str, *arguments: Any) -> None:
                told.append(format % arguments)

        served = serve_files(handler=Tells, follow_links=False)
        (folder / "out").symlink_to("../secret.txt")
        (folder / "loop").symlink_to("loop")
        os.mkfifo(folder / "fifo")
        for target in ("/missing", "/text.txt/", "/%00", "/out", "/loop", "/fifo"):
            assert fetch(served, target).status == 404
        not_found = "code 404, message File not found"
        reasons = ["", "", "", "/out: Permission denied", f"/loop: {os.strerror(errno.ELOOP)}"]
        reasons.append("/fifo: neither a regular file nor a directory")
        assert told == [line for reason in reasons for line in (reason, not_found) if line]
        folder.rename(folder.with_name("moved"))
        told.clear()
        assert fetch(served, "/text.txt").status == 404
        assert told == [f"/text.txt: there is no directory {folder} any more", not_found]

    def test_an_index_page_that_cannot_be_opened(self, files: Served[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        def find(path: str) -> paths.Found:
            if path.endswith("index.html"):
                raise OSError(errno.EMFILE, "no descriptors")
            return paths.find(path)

        monkeypatch.setattr(static, "find", find)
        assert fetch(files, "/sub/").status == 503

    def test_an_index_page_that_may_not_be_read(self, files: Served[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        def find(path: str) -> paths.Found:
            if path.endswith("index.html"):
                raise PermissionError
            return paths.find(path)

        monkeypatch.setattr(static, "find", find)
        assert fetch(files, "/sub/").status == 404

    def test_an_index_page_that_is_none(self, files: Served[Any], folder: Path) -> None:
        os.mkfifo(folder / "sub" / "empty" / "index.html")
        (folder / "sub" / "empty" / "index.htm").symlink_to("index.htm")
        assert b"Directory listing" in fetch(files, "/sub/empty/").body

    def test_a_directory_that_cannot_be_listed(self, files: Served[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(static, "entries", mock.Mock(side_effect=PermissionError))
        response = fetch(files, "/")
        assert (response.status, response.reason) == (404, "No permission to list directory")


class TestDirectories:
    @pytest.mark.parametrize(
        ("target", "location"),
        [
            ("/sub", "/sub/"),
            ("/sub?x=1", "/sub/?x=1"),
            ("/sub?x=/", "/sub/?x=/"),
            ("/sub/empty", "/sub/empty/"),
            ("//sub", "/sub/"),
            ("//evil.example/..%2fsub", "/evil.example/..%2fsub/"),
            ("/\\evil.example/..%2fsub", "/%5Cevil.example/..%2fsub/"),
            ("/sub/%2e", "/sub/%2e/"),
            ("/%0d%0aX:y/../sub", "/%0d%0aX:y/../sub/"),
            ("sub", "sub/"),
        ],
    )
    def test_a_slash_is_added(self, target: str, location: str, files: Served[Any]) -> None:
        answer = files.exchange(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        assert b" 301 " in answer.splitlines()[0]
        assert f"\r\nLocation: {location}\r\n".encode() in answer
        assert b"\r\nX:y" not in answer

    def test_what_a_program_makes_of_a_path_leads_to_no_other_host(self, serve_files: ServeFiles) -> None:
        class Below(Handler):
            def send_head(self) -> Any:
                self.path = self.path.removeprefix("/files")
                return super().send_head()

        answer = serve_files(handler=Below).exchange(b"GET /files//evil.example/..%2fsub HTTP/1.0\r\n\r\n")
        assert b"\r\nLocation: /evil.example/..%2fsub/\r\n" in answer

    def test_bytes_that_are_no_ascii(self, files: Served[Any], folder: Path) -> None:
        answer = files.exchange(b"GET /sub?caf\xe9 HTTP/1.0\r\n\r\n")
        assert b"\r\nLocation: /sub/?caf%E9\r\n" in answer

    def test_listing(self, files: Served[Any]) -> None:
        response = fetch(files, "/")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b'<a href="a%20b%26c.txt">a b&amp;c.txt</a>' in response.body
        assert b'<a href="sub/">sub/</a>' in response.body
        assert fetch(files, "/", "HEAD").headers["Content-Length"] == str(len(response.body))

    def test_a_listing_holds_up_nobody(self, serve_files: ServeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
        listing, may_end = threading.Event(), threading.Event()

        def list_slowly(path: str) -> list[paths.Entry]:
            listing.set()
            assert may_end.wait(30)
            return paths.entries(path)

        monkeypatch.setattr(static, "entries", list_slowly)
        served = serve_files(GreenHTTPServer)
        page = Background(fetch, served, "/")
        assert listing.wait(30)
        assert fetch(served, "/text.txt").body == TEXT
        may_end.set()
        assert b"text.txt" in page.result().body

    def test_sorted_listing(self, files: Served[Any]) -> None:
        page = fetch(files, "/?sort=size&order=desc").body
        assert page.index(b"large.bin") < page.index(b"text.txt") < page.index(b"nothing.txt")
        assert b"listing for /<" in page


@given(
    st.lists(
        st.sampled_from(
            [".", "..", "/", "//", "%2e", "%2F", "%5c", "\\", "a", "%00", "%25", "%c0%ae", "~", "?", "#", ":"]
        )
        | st.text(max_size=3),
        max_size=12,
    ).map("".join)
)
def test_no_path_leads_out(path: str) -> None:
    handler = Handler.__new__(Handler)
    for directory in ("/srv/files", "/"):
        handler.directory = directory
        translated = handler.translate_path(path)
        assert os.path.normpath(translated).startswith(directory)
        assert ".." not in translated.split("/")
