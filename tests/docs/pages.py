"""Runs the code blocks of a page, in their order.

`python` and `pycon` blocks share a namespace, `pycon` ones are doctests; `console` blocks share a terminal. A
block with a `title`, other than a console's, is a file of that name, which a later block must use. A block with
`not_run="reason"` is left out, and `text` is no code.
"""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

from tests.docs.blocks import Block, blocks_of
from tests.docs.terminal import Terminal

__all__ = ["PAGES", "ROOT", "run_blocks"]

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run_blocks(page: Path, folder: Path) -> None:
    """Run the blocks of a page, with their files in `folder`, which should be the current folder.

    Raises whatever a block raises, and `AssertionError` where a block does not do what the page shows.
    """
    blocks = [block for block in blocks_of(page) if "not_run" not in block.attributes]
    namespace: dict[str, Any] = {"__name__": page.stem}
    with Terminal(folder) as terminal:
        for index, block in enumerate(blocks):
            title = block.attributes.get("title")
            if block.language == "console":
                terminal.run(block)
            elif title is not None:
                assert any(Path(title).stem in later.code for later in blocks[index + 1 :]), f"{block}: nobody uses it"
                (folder / title).write_text(terminal.with_free_ports(block.code), encoding="utf-8")
            elif block.language == "python":
                _run_python(block, namespace)
            elif block.language == "pycon":
                _run_doctest(block, namespace)
            else:
                assert block.language == "text", f"{block}: what language is {block.language!r}?"


def _run_python(block: Block, namespace: dict[str, Any]) -> None:
    # As many lines above as in the page, so that a traceback names the line in it.
    code = "\n" * block.line + block.code
    exec(compile(code, block.page, "exec"), namespace)


def _run_doctest(block: Block, namespace: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, namespace, str(block), str(block.page), block.line)
    test.globs = namespace  # what it defines stays for the blocks below
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failed = runner.run(test, out=report.append, clear_globs=False).failed
    assert not failed, "".join(report)
