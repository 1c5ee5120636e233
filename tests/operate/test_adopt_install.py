"""doorkeep.install: the standard modules replaced from code."""

from __future__ import annotations

from pathlib import Path

from tests.operate.commands import python


def printed_by(program: str, cwd: Path | None = None) -> str:
    """Return what a program prints, which must not fail."""
    told = python("-c", program, cwd=cwd)
    assert told.stderr == ""
    return told.stdout


def test_install() -> None:
    printed = printed_by(
        "import doorkeep; doorkeep.install(); doorkeep.install()\n"
        "import socketserver, http.server\n"
        "print(socketserver is doorkeep.socketserver, issubclass(http.server.HTTPServer, doorkeep.TCPServer))",
    )
    assert printed == "True True\n"


def test_install_with_a_model() -> None:
    printed = printed_by(
        "import doorkeep; doorkeep.install('pool:3')\n"
        "import http.server\n"
        "server = http.server.ThreadingHTTPServer\n"
        "assert issubclass(server, http.server.HTTPServer) and server.__module__ == 'doorkeep.http.server'\n"
        "print(issubclass(server, doorkeep.ThreadPoolMixIn), server.pool_size, server.daemon_threads)",
    )
    assert printed == "True 3 True\n"


def test_install_refuses_an_unknown_model_and_replaces_nothing() -> None:
    printed = printed_by(
        "import doorkeep, sys\n"
        "try:\n"
        "    doorkeep.install('fibre')\n"
        "except doorkeep.SettingError as error:\n"
        "    print(error)\n"
        "print('socketserver' in sys.modules)",
    )
    assert printed.endswith("choose thread, pool, green, async, fork or sync\nFalse\n")


def test_install_says_who_was_imported_too_early() -> None:
    printed = printed_by(
        "import doorkeep, http.server, xmlrpc.server, sys\n"
        "try:\n"
        "    doorkeep.install()\n"
        "except doorkeep.DoorkeepError as error:\n"
        "    print(error)\n"
        "print(sys.modules['socketserver'].__name__, http.server.socketserver.__name__)",
    )
    assert printed == (
        "too late to replace socketserver and http.server: xmlrpc.server uses it already; "
        "call doorkeep.install() before anything else is imported\n"
        "socketserver socketserver\n"
    )


def test_install_reaches_modules_that_have_only_imported_it() -> None:
    printed = printed_by(
        "import socketserver, logging.config\n"
        "from socketserver import TCPServer as Server\n"
        "import doorkeep; doorkeep.install()\n"
        "print(socketserver is doorkeep.socketserver, Server is doorkeep.TCPServer)\n"
        "print(logging.config.ThreadingTCPServer is doorkeep.ThreadingTCPServer)",
    )
    assert printed == "True True\nTrue\n"


def test_install_replaces_modules_inside_packages_too(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "better.py").write_text("class Counter:\n    pass\n")
    (tmp_path / "package" / "counter.py").write_text("class Counter:\n    pass\n")
    for imported_before in ("", "import package.counter"):
        printed = printed_by(
            f"{imported_before}\n"
            "from doorkeep.operate import adopt\n"
            "adopt.REPLACED['package.counter'] = 'better'\n"
            "adopt.install()\n"
            "import package.counter, better\n"
            "print(package.counter is better)",
            cwd=tmp_path,
        )
        assert printed == "True\n"


def test_install_wakes_no_lazy_objects() -> None:
    printed = printed_by(
        "import doorkeep, socketserver, types, sys\n"
        "class Lazy:\n"
        "    @property\n"
        "    def __class__(self):\n"
        "        raise RuntimeError('woken')\n"
        "holder = types.ModuleType('holder')\n"
        "holder.lazy = Lazy()\n"
        "sys.modules['holder'] = holder\n"
        "sys.modules['no module'] = Lazy()\n"
        "doorkeep.install()\n"
        "print(socketserver is doorkeep.socketserver)",
    )
    assert printed == "True\n"
