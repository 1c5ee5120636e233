"""Programs to run for requests, and a server of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from doorkeep.http import cgi
from doorkeep.http.servers import HTTPServer, ThreadingHTTPServer
from doorkeep.testing.plugin import Serve
from doorkeep.testing.served import Served
from tests.http.cgi.serving import Handler, ServePrograms

HELLO = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\nhello\\n'
"""
ENVIRONMENT = """\
#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\n'
env
"""
ARGUMENTS = """\
#!/bin/sh
printf '\\r\\n'
for argument in "$@"; do echo "<$argument>"; done
"""
ECHO = """\
#!/bin/sh
printf '\\r\\n'
cat
"""
# Those that do not end by themselves leave their process's number in the folder around theirs.
LONG = """\
#!/bin/sh
echo $$ > "${0%/*}/../number"
"""


@pytest.fixture(autouse=True)
def as_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs run as we do: nobody may not enter the folders of tests."""
    monkeypatch.setattr(cgi, "_unprivileged", dict)
    warnings.simplefilter("ignore", DeprecationWarning)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory to serve, with programs in it."""
    programs = tmp_path / "cgi-bin"
    (programs / "below").mkdir(parents=True)
    for name, text in {
        "hello.sh": HELLO,
        "environment.sh": ENVIRONMENT,
        "arguments.sh": ARGUMENTS,
        "echo.sh": ECHO,
        "long.sh": f"{LONG}echo; echo $$; exec sleep 1000\n",
        "silent.sh": f"{LONG}exec sleep 1000\n",
        "mute.sh": f"{LONG}exec sleep 1000 >&-\n",
        "below/deep.sh": HELLO,
        "fails.sh": "#!/bin/sh\nprintf '\\r\\n'; exit 3\n",
        "no-interpreter.sh": "#!/there/is/none\n",
        "denied.sh": "#!/tmp\n",
        "plain.txt": "plain",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o644 if name == "plain.txt" else 0o755)
    (tmp_path / "file.txt").write_text("a file")
    return tmp_path


@pytest.fixture
def serve_programs(serve: Serve, folder: Path) -> ServePrograms:
    """Serve the folder by a handler with these attributes."""

    def serve_folder(
        server_class: type[HTTPServer] = ThreadingHTTPServer,
        settings: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> Served[Any]:
        handler = partial(type("Configured", (Handler,), attributes), directory=folder)
        return serve(server_class, handler, **(settings or {}))

    return serve_folder


@pytest.fixture
def programs(serve_programs: ServePrograms) -> Served[Any]:
    return serve_programs()
