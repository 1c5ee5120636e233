"""The handler that serves the files of a directory."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from doorkeep.connection.prologue import is_tls
from doorkeep.http.blocking import call_beside
from doorkeep.http.codings import EXTENSIONS, acceptable_codings
from doorkeep.http.conditions import validators_of
from doorkeep.http.content import FileContent, FileShrankError
from doorkeep.http.handler import BaseHTTPRequestHandler, __version__
from doorkeep.http.listing import Order, listing_page
from doorkeep.http.media_types import media_type_of
from doorkeep.http.memory import FileMemory
from doorkeep.http.paths import Found, entries, entries_within, find, find_within
from doorkeep.http.representations import Answer, Representation, asks_for_whole
from doorkeep.http.targets import origin_form

__all__ = ["SimpleHTTPRequestHandler"]

# Names that mean themselves, in a URL and in a path: no dot comes first.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+", re.ASCII)
_TARGET = re.compile(r"([^?#]*)(.*)", re.DOTALL)

# Of the system, which lacks something for the moment; the file may well be there.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class SimpleHTTPRequestHandler(BaseHTTPRequestHandler):
    """Serves the files of `directory`, by default the current one, and of those below it: GET and HEAD.

    A directory is served by its index page, or else as a list. Answers conditional requests (RFC 9110, section 13)
    and requests for ranges (section 14). What is neither a regular file nor a directory is not found.

    The attributes below are for subclasses to set; `extra_response_headers`, pairs of name and value, go with each
    file and list, and may be given to the constructor too.
    """

    server_version = "SimpleHTTP/" + __version__

    #: The files that are served for a directory, the first that is there.
    index_pages: Iterable[str] = ("index.html", "index.htm")
    #: The media types of extensions that go before those of `mimetypes`.
    extensions_map: dict[str, str] = {  # noqa: RUF012  # for programs to change in place, as they do the standard one
        ".gz": "application/gzip",
        ".Z": "application/octet-stream",
        ".bz2": "application/x-bzip2",
        ".xz": "application/x-xz",
    }
    extra_response_headers: Sequence[tuple[str, str]] | None = None
    #: Whether symbolic links may lead out of the directory. Otherwise they are not found, and not listed.
    follow_links = True
    #: Whether a client that accepts it gets `page.html.br`, `.zst` or `.gz` for `page.html`, if that is no older.
    precompressed = False
    #: Where small files are kept; None reads them for each request. What is served for a path must then depend on the
    #: path alone, also where methods are overridden.
    memory: FileMemory | None = None
    #: The charset that texts are declared to be in; None leaves it to the client to guess.
    text_charset: str | None = None

    # What an earlier Python has under this name.
    _encodings_map_default = extensions_map
    # What `wfile` was at the beginning: the connection, with nothing in between.
    _connection_file: Any = None

    def __init__(
        self,
        *args: Any,
        directory: str | os.PathLike[str] | None = None,
        extra_response_headers: Sequence[tuple[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.directory = os.getcwd() if directory is None else os.fspath(directory)
        if extra_response_headers is not None:
            self.extra_response_headers = extra_response_headers
        super().__init__(*args, **kwargs)

    def setup(self) -> None:
        super().setup()
        self._connection_file = self.wfile

    def do_GET(self) -> None:
        """Serve a GET request."""
        try:
            content = self.send_head()
            if content:
                try:
                    self.copyfile(content, self.wfile)
                finally:
                    content.close()
        except FileShrankError as error:
            self.log_error("%s: %s", self.path, error)
            self.close_connection = True  # as the client is not to wait for the rest

    def do_HEAD(self) -> None:
        """Serve a HEAD request."""
        content = self.send_head()
        if content:
            content.close()

    def send_head(self) -> Any:
        """Send the status and the headers.

        Returns a binary file with the body, which the caller sends, unless the request is a HEAD, and closes; None
        if there is no body.
        """
        if self.memory is not None and asks_for_whole(self._header_names()):
            known = self.memory.recall(self._asked_for())
            if known is not None:
                answer, content = known
                self._send_answer_head(answer)
                return io.BytesIO(content)
        try:
            path, found = self._locate(self.translate_path(origin_form(self.path)))
        except (OSError, ValueError) as error:  # ValueError: a zero byte
            return self._not_found(error)
        if not found.is_directory:
            return self._send_file_head(path, found)
        target, query = self._split_target()
        return self.list_directory(path) if target.endswith("/") else self._redirect(f"{target}/{query}")

    def list_directory(self, path: str) -> Any:
        """Answer with the list of a directory; the result is that of `send_head`."""
        charset = sys.getfilesystemencoding()
        try:
            page = call_beside(self._make_listing, path, charset)
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND, "No permission to list directory")
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-type", f"text/html; charset={charset}")
        self.send_header("Content-Length", str(len(page)))
        self._send_extra_headers()
        self.end_headers()
        return io.BytesIO(page)

    def translate_path(self, path: str) -> str:
        """Return the path of the file that a request's path names.

        Query and fragment are left out, and so are names that would lead elsewhere, such as `..` or, on Windows, a
        drive. A slash at the end stays.
        """
        if _PLAIN.fullmatch(path) and os.path is posixpath:
            return os.path.join(self.directory, path[1:])
        path = path.partition("?")[0].partition("#")[0]
        slash = "/" if path.rstrip().endswith("/") else ""
        try:
            decoded = unquote(path, errors="surrogatepass")  # as the links of lists have bytes that are no characters
        except UnicodeDecodeError:
            decoded = unquote(path, errors="surrogateescape")  # and as all else has them
        translated = self.directory
        for name in posixpath.normpath(decoded).split("/"):
            if name and name not in (os.curdir, os.pardir) and not os.path.dirname(name):
                translated = os.path.join(translated, name)
        return translated + slash

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Copy a file to another, where `source` needs but `read` and `outputfile` but `write`."""
        if not isinstance(source, FileContent):
            if type(source) is io.BytesIO:
                outputfile.write(source.read())  # all of it, without a copy
            else:
                shutil.copyfileobj(source, outputfile)
            return
        # The system may send the file itself, unless the program or TLS has something in between.
        direct = outputfile is self._connection_file and not is_tls(self.connection)
        source.copy_to(outputfile, self.connection if direct else None)

    def guess_type(self, path: Any) -> str:
        """Return the media type of a file, by its extension."""
        path = os.fspath(path)
        extension = posixpath.splitext(path)[1]
        known = self.extensions_map
        return known.get(extension) or known.get(extension.lower()) or media_type_of(extension)

    # -- What is at a path ---------------------------------------------------------------------------------------

    def _find(self, path: str) -> Found:
        return find(path) if self.follow_links else find_within(self.directory, self._within(path))

    def _within(self, path: str) -> str:
        beginning = self.directory.rstrip("/") + "/"
        return path[len(beginning) :] if path.startswith(beginning) else os.path.relpath(path, self.directory)

    def _make_listing(self, path: str, charset: str) -> bytes:
        listed = entries(path) if self.follow_links else entries_within(self.directory, self._within(path))
        target = origin_form(self.path)
        return listing_page(target, listed, Order.of_query(target.partition("?")[2]), charset)

    def _locate(self, path: str) -> tuple[str, Found]:
        """Return what is at a path, where a directory stands for its index page, unless it has to be redirected to."""
        found = self._find(path)
        if not found.is_directory:
            if path.endswith("/"):
                found.close()
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return path, found
        if self._split_target()[0].endswith("/"):
            for name in self.index_pages:
                index = os.path.join(path, name)
                try:
                    page = self._find(index)
                except OSError as error:
                    # A page that may not be read is there to keep the directory from being listed.
                    if isinstance(error, PermissionError) or error.errno in _SHORTAGES:
                        raise
                    continue
                if not page.is_directory:
                    return index, page
        return path, found

    def _find_neighbour(self, path: str, original: Found) -> tuple[Found, str] | None:
        """Return the compressed form of a file that the client prefers, and its coding."""
        for coding in acceptable_codings(self.headers.get("Accept-Encoding")):
            candidate = path + EXTENSIONS[coding]
            if not os.path.exists(candidate):
                continue
            try:
                found = self._find(candidate)
            except OSError:
                continue
            # In whole seconds, as some tools that keep a file's time keep no more of it.
            if not found.is_directory and int(found.status.st_mtime) >= int(original.status.st_mtime):
                return found, coding
            found.close()
        return None

    # -- Answers -------------------------------------------------------------------------------------------------

    def _content_type(self, path: str) -> str:
        found = self.guess_type(path)
        if self.text_charset and found.startswith("text/") and "charset=" not in found.lower():
            return f"{found}; charset={self.text_charset}"
        return found

    def _asked_for(self) -> tuple[str, ...]:
        """Return what the answer to a request for the whole of a file depends on."""
        accepted = self.headers.get("Accept-Encoding", "") if self.precompressed else ""
        return self.directory, self.path, accepted

    def _send_file_head(self, path: str, found: Found) -> io.IOBase | None:
        coding = None
        sources = {path: found.status}
        try:
            content_type = self._content_type(path)
            neighbour = self._find_neighbour(path, found) if self.precompressed else None
            if neighbour is not None:
                found.close()
                found, coding = neighbour
                sources[path + EXTENSIONS[coding]] = found.status
            status = found.status
            validators = validators_of(status, time.time())
            file = Representation(validators, status.st_size, content_type, coding, self.precompressed)
            answer = file.answer(self.command, self.headers)
            self._send_answer_head(answer)
        except BaseException:
            found.close()
            raise
        assert found.file is not None  # as it is no directory
        if answer.pieces is None:
            found.close()
            return None
        content = FileContent(found.file, answer.pieces)
        memory = self.memory if self.command == "GET" and answer.status is HTTPStatus.OK else None
        if memory is not None and memory.takes(content.length, sources):
            with content:
                whole = content.read()
            memory.keep(self._asked_for(), sources, answer, whole)
            return io.BytesIO(whole)
        return content

    def _send_answer_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self._send_headers(answer.headers)
        self._send_extra_headers()
        self.end_headers()

    def _send_extra_headers(self) -> None:
        if self.extra_response_headers:
            self._send_headers(self.extra_response_headers)

    def _split_target(self) -> tuple[str, str]:
        """Return what the request names up to its query or fragment, and these."""
        found = _TARGET.fullmatch(self.path)
        assert found is not None  # it matches anything
        return found[1], found[2]

    def _redirect(self, target: str) -> None:
        # Two slashes would begin the name of another host, and browsers take a backslash for one.
        if target.startswith("//"):
            target = "/" + target.lstrip("/")
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", quote(target.encode("latin-1", "replace"), safe="/%:?#[]@!$&'()*+,;=~"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _not_found(self, error: Exception) -> None:
        reason = self._reason_of(error)
        if reason:
            self.log_error("%s: %s", self.path, reason)
        if isinstance(error, OSError) and error.errno in _SHORTAGES:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self.send_error(HTTPStatus.NOT_FOUND, "File not found")

    def _reason_of(self, error: Exception) -> str:
        """Return what whoever runs the server is to know of a file that is not served; nothing if it is not there."""
        if not isinstance(error, OSError):
            return ""
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return error.strerror or str(error)
        return "" if os.path.isdir(self.directory) else f"there is no directory {self.directory} any more"
