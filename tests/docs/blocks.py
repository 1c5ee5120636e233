"""The code blocks of a page of documentation.

A block is a Markdown fence with a language, and attributes such as `title="greet.py"`:

    ```python title="greet.py"
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks_of"]

_OPENING = re.compile(r"(?P<indent> *)(?P<fence>`{3,}) *(?P<language>\S*)(?P<attributes>.*)")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Block:
    """A code block; `line` is the number of its opening line in the page."""

    page: Path
    line: int
    language: str
    attributes: dict[str, str]
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in their order. Raises `ValueError` if one does not end."""
    blocks = []
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        opening = _OPENING.fullmatch(line)
        if opening is None:
            continue
        closing = opening["indent"] + opening["fence"]
        code = []
        for _, inner in lines:
            if inner.rstrip() == closing:
                break
            code.append(inner)
        else:
            raise ValueError(f"{page.name}:{number}: the block does not end")
        blocks.append(
            Block(
                page,
                number,
                opening["language"],
                dict(_ATTRIBUTE.findall(opening["attributes"])),
                textwrap.dedent("".join(f"{inner}\n" for inner in code)),
            )
        )
    return blocks
