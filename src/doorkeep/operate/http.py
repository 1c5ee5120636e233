"""`doorkeep http`: the files of a directory by HTTP; and the command of the standard module."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any

from doorkeep import logs
from doorkeep.errors import AddressError, DoorkeepError, SettingError
from doorkeep.http.cgi import CGIHTTPRequestHandler
from doorkeep.http.memory import FileMemory
from doorkeep.http.servers import HTTPServer
from doorkeep.http.settings import NETWORK_DEFAULTS
from doorkeep.http.static import SimpleHTTPRequestHandler
from doorkeep.operate import serve
from doorkeep.operate.group import ServerGroup
from doorkeep.operate.models import Model
from doorkeep.operate.options import add_options, given_settings, option_of
from doorkeep.operate.self_signed import self_signed_context
from doorkeep.operate.trial import PORT, announce, best_family, say_goodbye
from doorkeep.operate.web import best_model, http_server_class, http_settings

__all__ = ["add_arguments", "prepare"]

# RFC 9110, section 5.6.2.
_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_FRAMING = ("content-length", "transfer-encoding")
_VERSIONS = ("HTTP/1.0", "HTTP/1.1")

# What `doorkeep http` does unlike the standard module's command, which answers requests without a Host, leaves
# charsets to be guessed, sends each file as it is, and follows links wherever they lead.
_OWN = {"protocol": "HTTP/1.1", "follow_links": False, "precompressed": True, "charset": "utf-8"}
_STANDARD = {"protocol": "HTTP/1.0", "follow_links": True, "precompressed": False, "charset": None}


def add_arguments(parser: argparse.ArgumentParser, *, standard: bool) -> None:
    """Let the parser understand the arguments of the command, with the `standard` module's defaults or our own."""
    defaults = _STANDARD if standard else _OWN
    parser.add_argument(
        "places",
        nargs="*",
        metavar="DIR PORT",
        help=f"what to serve (default: the current directory), and the port, a number (default: {PORT})",
    )
    parser.add_argument("-b", "--bind", metavar="ADDRESS", help="bind to this address (default: all interfaces)")
    parser.add_argument("-d", "--directory", metavar="DIR", help="serve this directory")
    parser.add_argument(
        "-p",
        "--protocol",
        metavar="VERSION",
        default=defaults["protocol"],
        help="answer in this version of HTTP (default: %(default)s)",
    )
    parser.add_argument("--cgi", action="store_true", help="run the programs in /cgi-bin and /htbin (deprecated)")
    parser.add_argument(
        "-H",
        "--header",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="send this header with each file and list; may be given several times",
    )
    _add_switch(parser, "follow-links", defaults, "follow symbolic links that lead out of the directory")
    _add_switch(parser, "precompressed", defaults, "send page.html.br, .zst or .gz for page.html to who accepts it")
    parser.add_argument(
        "--charset",
        default=defaults["charset"],
        help="the charset that texts are declared to be in, or none (default: %(default)s)",
    )
    parser.add_argument(
        "--tls-cert",
        dest="tls_certificate",
        default=argparse.SUPPRESS,
        metavar="PATH",
        help="what the standard module calls --tls-certificate",
    )
    parser.add_argument("--tls-password-file", metavar="PATH", help="a file with the passphrase of the private key")
    parser.add_argument(
        "--tls-self-signed", action="store_true", help="serve TLS with a certificate made at the start, by openssl"
    )
    parser.add_argument(
        "--concurrency",
        metavar="MODEL[:N]",
        help="thread, pool, green, fork or sync, and how many connections at once "
        "(default: green where greenlet is installed, else thread)",
    )
    parser.add_argument("--log-format", choices=logs.FORMATS, default="text", help="how log lines look (default: text)")
    parser.add_argument(
        "--log-level", choices=logs.LEVELS, default="warning", help="what is logged beside requests (default: warning)"
    )
    parser.set_defaults(standard=standard)
    add_options(parser, _defaults(standard), http_settings())


def _add_switch(parser: argparse.ArgumentParser, name: str, defaults: Mapping[str, Any], what: str) -> None:
    default = defaults[name.replace("-", "_")]
    parser.add_argument(
        f"--{name}",
        action=argparse.BooleanOptionalAction,
        default=default,
        help=f"{what} (default: {'yes' if default else 'no'})",
    )


def _defaults(standard: bool) -> dict[str, Any]:
    defaults = {**serve.DEFAULTS, **NETWORK_DEFAULTS}
    if standard:
        del defaults["host_required"]
    return defaults


def prepare(options: argparse.Namespace) -> Callable[[], int]:
    """Make the server that the command line asks for and bind it; return what runs it.

    Raises `DoorkeepError` with a sentence if it cannot be; nothing stays open then.
    """
    directory, port = _places(options)
    model = best_model() if options.concurrency is None else Model.parse(options.concurrency)
    settings, certificate = _settings(options, model)
    family, address = _address(options.bind, port)
    server_class = type("Server", (http_server_class(model),), {"address_family": family})
    handler = partial(_handler_class(options), directory=directory)
    try:
        server = server_class(address, handler, **settings)
    except (OSError, OverflowError) as error:
        reason = serve.why_not_bound(error, address)
        raise AddressError(f"cannot listen on {address[0]} port {port}: {reason}") from None
    return lambda: _run(server, options, certificate)


# -- What the command line asks for ----------------------------------------------------------------------------------


def _places(options: argparse.Namespace) -> tuple[str, int]:
    """Return the directory and the port: of two arguments, the one that is a number is the port."""
    ports = [place for place in options.places if place.isascii() and place.isdigit()]
    directories = [place for place in options.places if place not in ports]
    if options.directory is not None:
        directories.append(options.directory)
    hint = "; the port is a whole number" if options.directory is None else ""
    if len(ports) > 1:
        raise DoorkeepError(f"there is one port too many: {ports[1]!r}")
    if len(directories) > 1:
        raise DoorkeepError(f"there is one directory too many: {directories[1]!r}{hint}")
    directory = directories[0] if directories else _current_directory()
    if os.path.isfile(directory):
        raise DoorkeepError(f"{directory!r} is a file, and a directory is what can be served")
    if not os.path.isdir(directory):
        raise DoorkeepError(f"there is no directory {directory!r}{hint if options.standard else ''}")
    port = int(ports[0]) if ports else PORT
    if port > 65535:
        raise DoorkeepError(f"a port is a number up to 65535, not {port}")
    return os.path.abspath(directory), port


def _current_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise DoorkeepError("the current directory is no longer there") from None


def _address(host: str | None, port: int) -> tuple[Any, Any]:
    try:
        return best_family(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA cannot encode
        reason = getattr(error, "strerror", None) or str(error)
        raise AddressError(f"{host!r} is no address to listen at: {reason}") from None


def _handler_class(options: argparse.Namespace) -> type[SimpleHTTPRequestHandler]:
    if options.protocol not in _VERSIONS:
        raise DoorkeepError(f"--protocol must be {' or '.join(_VERSIONS)}, not {options.protocol!r}")
    for name, value in options.header:
        if not _is_token(name):
            raise DoorkeepError(f"--header needs the name of a header, such as Cache-Control, not {name!r}")
        if name.lower() in _FRAMING:
            raise DoorkeepError(f"--header cannot set {name}, which says where each answer ends")
        if not (value.isprintable() and value.isascii()):
            raise DoorkeepError(f"--header must be printable ASCII, not {value!r}")
    charset = options.charset
    if charset is not None and not _is_token(charset):
        raise DoorkeepError(f"--charset must be the name of a charset, such as utf-8, or none, not {charset!r}")
    attributes = {
        "protocol_version": options.protocol,
        "follow_links": options.follow_links,
        "precompressed": options.precompressed,
        "text_charset": None if charset is None or charset.lower() == "none" else charset,
        "memory": None if options.cgi else FileMemory(),
        "extra_response_headers": [tuple(header) for header in options.header],
    }
    return type("Handler", (CGIHTTPRequestHandler if options.cgi else SimpleHTTPRequestHandler,), attributes)


def _settings(options: argparse.Namespace, model: Model) -> tuple[dict[str, Any], str | None]:
    """Return the settings of the server, and the fingerprint of its certificate if that was made for it."""
    server_class = http_server_class(model)
    entries = http_settings()
    given = given_settings(options, entries)
    for name in model.settings:
        if name in given:
            raise SettingError(f"--concurrency {model} and {option_of(name)} both say how many: give one")
    for name in given:
        if not hasattr(server_class, name):
            raise SettingError(f"{option_of(name)} means nothing with {model.name}")
    if "socket_mode" in given:
        raise SettingError(f"{option_of('socket_mode')} is for Unix sockets, and this serves a port")
    serve.check_companions({**given, **model.settings})
    settings = {**_defaults(options.standard), **given, **model.settings}
    for needing in ("tls_key", "tls_password_file"):
        if given.get(needing, getattr(options, needing, None)) and "tls_certificate" not in given:
            raise SettingError(f"{option_of(needing)} says nothing without --tls-cert")
    if not options.tls_self_signed and "tls_certificate" not in given:
        return settings, None
    if options.tls_self_signed:
        if "tls_certificate" in given:
            raise SettingError("give either --tls-self-signed or --tls-cert")
        names = ("localhost", "127.0.0.1", "::1", socket.gethostname(), options.bind)
        settings["ssl_context"], fingerprint = self_signed_context(filter(None, names))
        return settings, fingerprint
    if options.tls_password_file is not None:
        settings["ssl_context"] = _context_with_password(
            settings.pop("tls_certificate"), settings.pop("tls_key", None), options.tls_password_file
        )
    else:
        settings.setdefault("tls_alpn", ("http/1.1",))
    return settings, None


def _context_with_password(certificate: str, key: str | None, password_file: str) -> Any:
    import ssl

    try:
        with open(password_file, encoding="utf-8") as file:
            password = file.read().strip()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SettingError(f"the file {password_file} cannot be read: {reason}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password)
    except OSError as error:
        raise SettingError(f"{certificate} cannot be used with that key and passphrase: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


# -- Running ---------------------------------------------------------------------------------------------------------


class _Group(ServerGroup):
    """Notes that Ctrl-C was what ended it."""

    interrupted = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.interrupted = True
        super()._on_signal(number, frame)


def _run(server: HTTPServer, options: argparse.Namespace, fingerprint: str | None) -> int:
    undo = logs.configure(options.log_level, options.log_format)
    try:
        with _Group([server]) as group:
            if fingerprint is not None:
                print(f"The certificate was made just now; its SHA-256 fingerprint is {fingerprint}", flush=True)
            announce(server, encrypted=server._tls_context() is not None)
            status = group.run()
        if group.interrupted:
            say_goodbye()
        return status
    finally:
        undo()
