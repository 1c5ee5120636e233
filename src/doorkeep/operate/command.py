"""The command `doorkeep`: reading its arguments. What cannot be done is told in one sentence, with exit status 2."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import doorkeep
from doorkeep import logs
from doorkeep.addresses import parse_address
from doorkeep.errors import DoorkeepError
from doorkeep.operate import adopt, http, info, serve, table, wsgi
from doorkeep.operate.models import Model
from doorkeep.operate.options import add_options, given_settings
from doorkeep.operate.web import best_model, http_settings

__all__ = ["http_server", "main"]

# What a command does, once all that may be wrong with its arguments has been found right.
Task = Callable[[], object]
Value = TypeVar("Value")

_ADDRESS = "tcp://127.0.0.1:9999"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with its arguments, those of the process if None, and return the exit status.

    Arguments that cannot be understood raise `SystemExit` with status 2, after a sentence on stderr, and so do
    what cannot be served and programs that cannot be found. Programs under `adopt` may raise whatever they like.
    """
    return _run(_parser(), arguments)


def http_server(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `python -m doorkeep.http.server` is, as `main` does; its defaults are the standard one's."""
    parser = _Parser(
        prog="python -m doorkeep.http.server",
        usage="%(prog)s [PORT] [-b ADDRESS] [-d DIR] [options]",
        description="Serve the files of a directory by HTTP.",
    )
    http.add_arguments(parser, standard=True)
    parser.set_defaults(parser=parser, prepare=http.prepare)
    return _run(parser, arguments)


def _run(command: _Parser, arguments: Sequence[str] | None) -> int:
    options, unknown = command.parse_known_args(arguments)
    parser: _Parser = options.parser
    if hasattr(options, "places") and not any(argument.startswith("-") for argument in unknown):
        options.places = [*options.places, *unknown]  # which argparse takes no more of behind options
    elif unknown:
        parser.refuse_unknown(unknown)
    try:
        task: Task = options.prepare(options)
    except DoorkeepError as error:
        parser.error(str(error))
    status = task()
    return status if isinstance(status, int) else 0


class _Parser(argparse.ArgumentParser):
    """An argument parser that complains in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}\n")

    def refuse_unknown(self, unknown: Sequence[str]) -> NoReturn:
        """Complain of the first argument that is not understood, with the option that may have been meant."""
        option = next((argument for argument in unknown if argument.startswith("-")), None)
        if option is None:
            self.error(f"there is one argument too many: {unknown[0]!r}")
        name = option.partition("=")[0]
        close = difflib.get_close_matches(name, re.findall(r"--[a-z][a-z-]*", self.format_help()), n=1)
        self.error(f"there is no option {name}" + (f"; did you mean {close[0]}?" if close else ""))


def _parser() -> _Parser:
    parser = _Parser(prog="doorkeep", description="Servers for plain blocking handlers.")
    parser.add_argument("--version", action="version", version=f"doorkeep {doorkeep.__version__}")
    parser.set_defaults(parser=parser, prepare=_refuse_no_command)
    commands = parser.add_subparsers(metavar="command")
    for add in (_add_serve, _add_http, _add_wsgi, _add_adopt, _add_settings, _add_info):
        add(commands)
    return parser


def _refuse_no_command(_options: argparse.Namespace) -> Task:
    raise DoorkeepError("name a command: serve, http, wsgi, adopt, settings or info; doorkeep --help tells more")


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="serve a handler",
        usage="%(prog)s [module:Handler] [--bind URL ...] [--concurrency MODEL[:N]] [options]",
        description="Serve a handler class, one written for the standard socketserver too. Without one, answer "
        "every line in upper case. Ctrl-C and SIGTERM let requests finish first; a second one does not.",
    )
    parser.add_argument("handler", nargs="?", metavar="module:Handler", help="the handler class and where it is")
    _add_running(
        parser,
        f"tcp://HOST:PORT, udp://HOST:PORT, unix:PATH, unix:@NAME, unixgram:PATH (default: {_ADDRESS})",
        "thread, pool, green, async, fork or sync, and how many requests at once (default: thread)",
    )
    add_options(parser, serve.DEFAULTS, table.entries())
    parser.set_defaults(parser=parser, prepare=_prepare_serve)


def _add_running(parser: _Parser, addresses: str, models: str) -> None:
    """Let the parser understand where to listen, on which model, and what to log."""
    parser.add_argument(
        "--bind",
        action="append",
        type=_readable(parse_address),
        metavar="URL",
        help=f"where to listen; may be given several times: {addresses}",
    )
    parser.add_argument("--concurrency", type=_readable(Model.parse), metavar="MODEL[:N]", help=models)
    parser.add_argument("--log-format", choices=logs.FORMATS, default="text", help="how log lines look (default: text)")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info", help="what is logged (default: info)")


def _prepare_serve(options: argparse.Namespace) -> Task:
    return _logged(
        options,
        serve.ServePlan(
            addresses=options.bind or [parse_address(_ADDRESS)],
            model=options.concurrency or Model("thread"),
            handler=options.handler,
            settings=given_settings(options, table.entries()),
        ),
    )


def _logged(options: argparse.Namespace, plan: serve.ServePlan) -> Task:
    """Make the servers of a plan; return what runs them and logs as the options say."""
    run = serve.serve(plan)

    def task() -> int:
        undo = logs.configure(options.log_level, options.log_format)
        try:
            return run()
        finally:
            undo()

    return task


def _add_wsgi(commands: Any) -> None:
    parser = commands.add_parser(
        "wsgi",
        help="serve a WSGI application by HTTP",
        usage="%(prog)s module:application [--bind URL ...] [--concurrency MODEL[:N]] [options]",
        description="Serve a WSGI application, such as those of Flask and Django. Ctrl-C and SIGTERM let requests "
        "finish first; a second one does not.",
    )
    parser.add_argument(
        "application",
        metavar="module:application",
        help="the application and where it is, or module:factory() for what a function returns",
    )
    _add_running(
        parser,
        f"tcp://HOST:PORT, unix:PATH, unix:@NAME (default: {wsgi.ADDRESS})",
        "thread, pool, green, fork or sync, and how many connections at once "
        "(default: green where greenlet is installed, else thread)",
    )
    add_options(parser, wsgi.DEFAULTS, http_settings())
    parser.set_defaults(parser=parser, prepare=_prepare_wsgi)


def _prepare_wsgi(options: argparse.Namespace) -> Task:
    return _logged(
        options,
        wsgi.WSGIPlan(
            addresses=options.bind or [parse_address(wsgi.ADDRESS)],
            model=options.concurrency or best_model(),
            handler=options.application,
            settings=given_settings(options, http_settings()),
        ),
    )


def _add_http(commands: Any) -> None:
    parser = commands.add_parser(
        "http",
        help="serve the files of a directory by HTTP",
        usage="%(prog)s [DIR] [PORT] [-b ADDRESS] [options]",
        description="Serve the files of a directory. Ctrl-C and SIGTERM let requests finish first; a second one does "
        "not.",
    )
    http.add_arguments(parser, standard=False)
    parser.set_defaults(parser=parser, prepare=http.prepare)


def _add_adopt(commands: Any) -> None:
    parser = commands.add_parser(
        "adopt",
        help="run a program built on socketserver, on doorkeep",
        usage="%(prog)s [-h] [--concurrency MODEL[:N]] (-m MODULE | SCRIPT) [ARGUMENT ...]",
        description="Run a Python program with the standard socketserver and http.server replaced by doorkeep's.",
    )
    parser.add_argument(
        "--concurrency",
        type=_readable(lambda text: str(Model.parse(text))),
        metavar="MODEL[:N]",
        help="what servers with threads run on instead: thread, pool, green, fork or sync, and how many at once",
    )
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module, as `python -m` does")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments")
    parser.set_defaults(parser=parser, prepare=_prepare_adopt)


def _prepare_adopt(options: argparse.Namespace) -> Task:
    if not options.program:
        raise DoorkeepError("name the program to run: a script, or -m and a module")
    adopt_program = adopt.adopt_module if options.is_module else adopt.adopt_script
    name, *arguments = options.program
    return adopt_program(name, arguments, options.concurrency)


def _add_settings(commands: Any) -> None:
    parser = commands.add_parser("settings", help="print all settings", description="Print all settings.")
    parser.add_argument("--markdown", action="store_true", help="as a table in Markdown")
    parser.set_defaults(
        parser=parser,
        prepare=lambda options: lambda: _show(table.markdown_table() if options.markdown else table.text_table()),
    )


def _add_info(commands: Any) -> None:
    parser = commands.add_parser(
        "info", help="print what was found here", description="Print versions and the features of this system."
    )
    parser.set_defaults(parser=parser, prepare=lambda options: lambda: _show(info.information(doorkeep.__version__)))


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # somebody has seen enough of it, as `head` does
        # Python would complain again when it flushes the stream at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _readable(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return `read` with its errors as argparse wants them."""

    def read_argument(text: str) -> Value:
        try:
            return read(text)
        except DoorkeepError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument
