"""Programs that nobody edits, run on doorkeep."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.operate.commands import doorkeep, python

# What a program finds of itself.
SELF_PORTRAIT = """\
import json, os, sys
main = sys.modules["__main__"]
print(json.dumps({
    "argv": [os.path.realpath(sys.argv[0]), *sys.argv[1:]],
    "path": sys.path[0],
    "name": __name__,
    "file": __file__,
    "package": __package__,
    "spec": getattr(__spec__, "name", None),
    "main": vars(main) is globals(),
}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with programs in every form that Python runs."""
    (tmp_path / "portrait.py").write_text(SELF_PORTRAIT)
    for package in ("package", "inner/package"):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "__main__.py").write_text(SELF_PORTRAIT)
        (tmp_path / package / "program.py").write_text(SELF_PORTRAIT)
    with zipfile.ZipFile(tmp_path / "archive.pyz", "w") as archive:
        archive.writestr("__main__.py", SELF_PORTRAIT)
    return tmp_path


@pytest.mark.parametrize(
    "program",
    ["portrait.py", "inner/package/program.py", "inner/package", "archive.pyz", "-m portrait", "-m package"],
)
def test_a_program_finds_itself_where_python_would_have_put_it(program: str, folder: Path) -> None:
    arguments = [*program.split(), "--concurrency", "-m", "--help", "two words"]
    adopted = doorkeep("adopt", *arguments, cwd=folder)
    assert adopted.stderr == ""
    assert adopted.stdout == python(*arguments, cwd=folder).stdout


def test_a_script_finds_its_name_as_it_was_given(folder: Path) -> None:
    (folder / "named.py").write_text("import sys; print(sys.argv)")
    assert doorkeep("adopt", "named.py", "-x", cwd=folder).stdout == "['named.py', '-x']\n"


def test_the_same_with_a_model(folder: Path) -> None:
    adopted = doorkeep("adopt", "--concurrency", "pool:2", "-m", "package.program", "--version", cwd=folder)
    assert adopted.stdout == python("-m", "package.program", "--version", cwd=folder).stdout


def test_nothing_that_is_replaced_is_imported_before_the_program(folder: Path) -> None:
    users = "xmlrpc.server wsgiref.simple_server logging.config pydoc"
    (folder / "first.py").write_text(
        "import sys\n"
        f"print([name for name in {users.split()} if name in sys.modules])\n"
        "print(sys.modules['socketserver'].__name__, sys.modules['http.server'].__name__)"
    )
    assert doorkeep("adopt", "first.py", cwd=folder).stdout == "[]\ndoorkeep.socketserver doorkeep.http.server\n"


@pytest.mark.parametrize("module", ["http.server", "xmlrpc.server", "logging.config", "wsgiref.simple_server"])
def test_standard_modules_are_built_on_doorkeep(module: str, folder: Path) -> None:
    (folder / "users.py").write_text(
        f"import {module}, sys\n"
        f"classes = [value for value in vars({module}).values() if isinstance(value, type)]\n"
        "bases = {base.__module__ for value in classes for base in value.__mro__}\n"
        "print('doorkeep.server' in bases or 'doorkeep.handlers' in bases, 'socketserver' in bases)\n"
    )
    assert doorkeep("adopt", "users.py", cwd=folder).stdout == "True False\n"


@pytest.mark.parametrize(
    ("ending", "status", "last_line"),
    [
        ("raise SystemExit(3)", 3, None),
        ("raise LookupError('the program')", 1, "LookupError: the program"),
        ("import doorkeep; raise doorkeep.SettingError('its own')", 1, "doorkeep.errors.SettingError: its own"),
        ("import there_is_no_such", 1, "ModuleNotFoundError: No module named 'there_is_no_such'"),
        ("def", 1, "SyntaxError: invalid syntax"),
        ("pass", 0, None),
    ],
)
@pytest.mark.parametrize("how", ["ending.py", "-m ending"])
def test_a_program_ends_in_its_own_way(how: str, ending: str, status: int, last_line: str | None, folder: Path) -> None:
    (folder / "ending.py").write_text(ending)
    adopted = doorkeep("adopt", *how.split(), cwd=folder)
    assert adopted.returncode == status
    assert adopted.stderr.splitlines()[-1:] == ([last_line] if last_line else [])


def test_a_package_around_the_program_that_fails_shows_its_own_traceback(folder: Path) -> None:
    (folder / "package" / "__init__.py").write_text("import there_is_no_such_module")
    adopted = doorkeep("adopt", "-m", "package.program", cwd=folder)
    assert adopted.stderr.startswith("Traceback")
    assert adopted.stderr.endswith("No module named 'there_is_no_such_module'\n")
    assert adopted.returncode == 1
