"""The page on the architecture tells of the house as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

SOURCE = ROOT / "src" / "doorkeep"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def rows_of_the_house() -> list[list[str]]:
    """Return what each row of the table names: files, and folders with their files."""
    table = PAGE.partition("## The house")[2].partition("\n\n`tests/`")[0]
    return [re.findall(r"`([\w/]+(?:\.py|/))`", line) for line in table.splitlines() if line.startswith("| `")]


def modules_of_row(row: list[str]) -> set[Path]:
    """Return the paths of a row's modules, those of its folders included."""
    folders = [SOURCE / name for name in row if name.endswith("/")]
    inside = {path for folder in folders for path in folder.glob("*.py")}
    return inside | {SOURCE / name for name in row if (SOURCE / name).is_file()}


def imports_of(path: Path) -> Iterator[Path]:
    """Yield the modules of ours that a module imports when it is imported itself."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").split(".")[0] == "doorkeep":
            origin = SOURCE.joinpath(*(statement.module or "").split(".")[1:])
            for name in statement.names:
                for candidate in (origin / f"{name.name}.py", origin.with_suffix(".py"), origin / "__init__.py"):
                    if candidate.is_file():
                        yield candidate
                        break


def test_every_module_has_its_place() -> None:
    placed: set[Path] = set().union(*map(modules_of_row, rows_of_the_house()))
    assert set(SOURCE.rglob("*.py")) - placed == {SOURCE / "__init__.py"}


def test_every_module_is_named_and_no_other() -> None:
    for row in rows_of_the_house():
        modules = modules_of_row(row)
        named = {name for name in row if name.endswith(".py")}
        assert named == {path.name for path in modules} - {"__init__.py"}


def test_modules_import_from_their_row_and_below() -> None:
    row_of = {path: number for number, row in enumerate(rows_of_the_house()) for path in modules_of_row(row)}
    upwards = [
        f"{path.relative_to(SOURCE)} imports {imported.relative_to(SOURCE)}"
        for path, row in row_of.items()
        for imported in imports_of(path)
        if row_of.get(imported, -1) < row
    ]
    assert upwards == []


def test_files_that_the_text_names_exist() -> None:
    rest = PAGE.replace(PAGE.partition("## The house")[2].partition("## Decisions")[0], "")
    missing = [name for name in re.findall(r"`([\w/]+\.py)`", rest) if not (SOURCE / name).is_file()]
    assert missing == []
