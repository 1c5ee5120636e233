"""The handler that runs programs by CGI (RFC 3875). Deprecated, as it is in Python's own module."""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import unquote

from doorkeep.addresses import host_of
from doorkeep.http.blocking import call_beside
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.http.targets import origin_form

__all__ = ["CGIHTTPRequestHandler", "executable", "nobody_uid"]

_BLOCK = 1 << 16


class CGIHTTPRequestHandler(SimpleHTTPRequestHandler):
    """Runs the programs in `cgi_directories` for GET, HEAD and POST, and serves other files.

    A program has the request's body as its standard input and answers on its standard output, headers first, while
    the status is always 200: it cannot redirect. It gets the environment of the server and the variables of CGI, and
    if the server runs as root, runs as the user nobody.
    """

    #: The beginnings of paths below which files are run.
    cgi_directories: list[str] = ["/cgi-bin", "/htbin"]  # noqa: RUF012  # for programs to change in place
    #: Whether this system forks; where it does, each program must be executable.
    have_fork = hasattr(os, "fork")
    decodes_chunked = True

    cgi_info: tuple[str, str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if sys.version_info >= (3, 13):
            warnings.warn(
                "http.server.CGIHTTPRequestHandler is deprecated: serve a WSGI application instead",
                DeprecationWarning,
                stacklevel=2,
            )
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        """Run a program; other files take no POST."""
        names_program = self._names_program()
        if names_program:
            self.run_cgi()
        elif names_program is not None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "Can only POST to CGI scripts")

    def send_head(self) -> Any:
        names_program = self._names_program()
        if names_program is None:
            return None
        return self.run_cgi() if names_program else super().send_head()

    def is_cgi(self) -> bool:
        """Return whether the path names a program; if so set `cgi_info` to its directory and the rest of the path.

        May raise an exception for a path that cannot be.
        """
        path = _url_collapse_path(self.path)
        end = path.find("/", 1)
        while end > 0 and path[:end] not in self.cgi_directories:
            end = path.find("/", end + 1)
        if end > 0:
            self.cgi_info = path[:end], path[end + 1 :]
        return end > 0

    def is_executable(self, path: str) -> bool:
        """Return whether the file at a path may be run."""
        return executable(path)

    def is_python(self, path: str) -> bool:
        """Return whether a path is that of a Python program."""
        return os.path.splitext(path)[1].lower() in (".py", ".pyw")

    def run_cgi(self) -> None:
        """Run the program that `cgi_info` names, and send what it writes."""
        directory, script, rest, query = self._dissect(*self.cgi_info)
        name = f"{directory}/{script}"
        file = self.translate_path(name)
        if "\0" in file or not os.path.exists(file):
            return self.send_error(HTTPStatus.NOT_FOUND, f"No such CGI script ({name!r})")
        if not os.path.isfile(file):
            return self.send_error(HTTPStatus.FORBIDDEN, f"CGI script is not a plain file ({name!r})")
        if (self.have_fork or not self.is_python(name)) and not self.is_executable(file):
            return self.send_error(HTTPStatus.FORBIDDEN, f"CGI script is not executable ({name!r})")
        words = query.replace("+", " ")
        arguments = [script] if "=" in words else [script, words]
        with tempfile.TemporaryFile() as body:
            self._copy_body(body)
            environment = self._environment(name, rest, query, body.tell())
            body.seek(0)
            try:
                process = call_beside(_start, file, arguments, environment, body, self.is_python(file))
            except (OSError, ValueError) as error:  # ValueError: a zero byte in the path or the query
                self.log_error("CGI script cannot be run: %s", error)
                denied = isinstance(error, PermissionError)
                return self.send_error(HTTPStatus.FORBIDDEN if denied else HTTPStatus.INTERNAL_SERVER_ERROR)
            with _ending(process, self.connection):
                self._send_output(process)
        if process.returncode:
            self.log_error(f"CGI script exit code {process.returncode}")
        return None

    def _names_program(self) -> bool | None:
        """Return whether the path names a program; None if it cannot be, which has been answered.

        Such a path must not be served as that of a file, which a program could be that is not to be read.
        """
        self.path = origin_form(self.path)
        try:
            return self.is_cgi()
        except (IndexError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND, "File not found")
            return None

    def _dissect(self, directory: str, rest: str) -> tuple[str, str, str, str]:
        """Return the directory of a program, which may be one further down, its name, what follows, and the query."""
        rest, _, query = rest.partition("?")
        script, slash, below = rest.partition("/")
        while slash and os.path.isdir(self.translate_path(f"{directory}/{script}")):
            directory = f"{directory}/{script}"
            script, slash, below = below.partition("/")
        return directory, script, slash + below, query

    def _copy_body(self, file: IO[bytes]) -> None:
        headers = self.headers
        # Without these there is none, and `rfile` may be what follows an upgrade of the connection.
        if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
            shutil.copyfileobj(self.rfile, file)

    def _environment(self, name: str, rest: str, query: str, length: int) -> dict[str, str]:
        """Return the environment of a program: that of the server, and what CGI says of the request.

        Of the headers only those that CGI programs have always got: names of variables are nothing for clients to
        choose.
        """
        path_info = unquote(rest)
        headers = self.headers
        variables = {
            "SERVER_SOFTWARE": self.version_string(),
            "SERVER_NAME": self.server.server_name,
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_PROTOCOL": self.protocol_version,
            "SERVER_PORT": str(self.server.server_port),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path_info,
            "PATH_TRANSLATED": self.translate_path(path_info),
            "SCRIPT_NAME": name,
            "QUERY_STRING": query,
            "REMOTE_ADDR": host_of(self.client_address) or "",
            "REMOTE_HOST": "",
            "CONTENT_TYPE": headers.get("content-type") or headers.get_content_type(),
            "CONTENT_LENGTH": str(length) if length or headers.get("content-length") else "",
            "HTTP_ACCEPT": ",".join(headers.get_all("accept", ())),
            "HTTP_COOKIE": ", ".join(filter(None, headers.get_all("cookie", ()))),
            "HTTP_REFERER": headers.get("referer", ""),
            "HTTP_USER_AGENT": headers.get("user-agent", ""),
        }
        return {**os.environ, **variables, **_authorization(headers.get("authorization", ""))}

    def _send_output(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.send_response(HTTPStatus.OK, "Script output follows")
        if not self.close_connection:
            self.send_header("Connection", "close")  # nothing else says where the output ends
        self.flush_headers()
        output = process.stdout.fileno()
        head_is_over = False
        line_ends = b""
        while block := call_beside(_read, output, self.connection):
            if self.command != "HEAD":
                self.wfile.write(block)
            elif not head_is_over:
                head, line_ends, head_is_over = _up_to_empty_line(line_ends, block)
                self.wfile.write(head)


def _up_to_empty_line(before: bytes, block: bytes) -> tuple[bytes, bytes, bool]:
    """Return what of a block belongs to the head, its last bytes for the next call, and whether the head is over.

    `before` are the last bytes of what went before the block.
    """
    text = before + block
    ends = [text.find(mark) + len(mark) for mark in (b"\n\n", b"\n\r\n") if mark in text]
    if ends:
        return block[: max(0, min(ends) - len(before))], b"", True
    return block, text[-2:], False


def _start(
    file: str, arguments: list[str], environment: dict[str, str], body: IO[bytes], is_python: bool
) -> subprocess.Popen[bytes]:
    if os.name != "posix":
        # There a program that is no binary is run by what it is written for.
        arguments = ([sys.executable, "-u"] if is_python else []) + [file, *arguments[1:]]
        return subprocess.Popen(arguments, stdin=body, stdout=subprocess.PIPE, env=environment)
    return subprocess.Popen(
        arguments, executable=file, stdin=body, stdout=subprocess.PIPE, env=environment, **_unprivileged()
    )


def _unprivileged() -> dict[str, Any]:
    """Return what has a child of root run as nobody."""
    if os.geteuid() != 0:
        return {}
    import pwd

    uid = nobody_uid()
    try:
        group = pwd.getpwuid(uid).pw_gid
    except KeyError:
        group = uid
    return {"user": uid, "group": group, "extra_groups": []}


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes], client: Any) -> Iterator[None]:
    """Wait at the end of a block for a process; kill it if the block fails, or the client has gone."""
    try:
        yield
        call_beside(_wait_for_end, process, client)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _read(output: int, client: Any) -> bytes:
    """Return what a program has written, waiting for it; nothing at the end of its output."""
    _wait_beside(client, output)
    return os.read(output, _BLOCK)


def _wait_for_end(process: subprocess.Popen[bytes], client: Any) -> None:
    """Wait for a program that has closed its output."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # where the kernel does not tell
        process.wait()
        return
    try:
        _wait_beside(client, descriptor)
    except ConnectionAbortedError:
        if process.poll() is None:  # else both have ended
            raise
    finally:
        os.close(descriptor)
    process.wait()


def _wait_beside(client: Any, descriptor: int) -> None:
    """Wait until a descriptor is readable; raises `ConnectionAbortedError` if the client's connection ends before.

    That is when both directions have ended, as by a deadline or a reset: who has but sent all it wants to say may
    be waiting for the answer.
    """
    if not hasattr(select, "poll"):
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(client, 0)  # which leaves what cannot be left out
    if any(found != descriptor for found, _ in poller.poll()):
        raise ConnectionAbortedError("the client of a CGI script has gone")


def _authorization(field: str) -> dict[str, str]:
    """Return the variables that tell of the header Authorization."""
    scheme, _, credentials = field.strip().partition(" ")
    if not credentials or " " in credentials.strip():
        return {}
    variables = {"AUTH_TYPE": scheme}
    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error, UnicodeError):
            user, colon, password = base64.decodebytes(credentials.encode("ascii")).decode("ascii").partition(":")
            if colon and ":" not in password:
                variables["REMOTE_USER"] = user
    return variables


@cache
def nobody_uid() -> int:
    """Return the number of the user nobody, or of one that does not exist; -1 on systems without users."""
    try:
        import pwd
    except ImportError:
        return -1
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return 1 + max(user.pw_uid for user in pwd.getpwall())


def executable(path: str) -> bool:
    """Return whether the file at a path may be run."""
    return os.access(path, os.X_OK)


def _url_collapse_path(path: str) -> str:
    """Return a URL's path, decoded, without `.`, `..` and empty names; it begins with a slash.

    The query stays as it is. Raises `IndexError` if the path climbs above the uppermost directory.
    """
    path, _, query = path.partition("?")
    *above, last = unquote(path).split("/")
    directory: list[str] = []
    for name in above:
        if name == "..":
            directory.pop()
        elif name not in ("", "."):
            directory.append(name)
    if last == "..":
        directory.pop()
    if last in ("..", "."):
        last = ""
    if query:
        last = f"{last}?{query}"
    return f"/{'/'.join(directory)}/{last}"
