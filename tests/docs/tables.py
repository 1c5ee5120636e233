"""The tables of the documentation that come from the code.

    python -m tests.docs.tables

writes them into their pages, each between a comment that names it and `<!-- end of table -->`.
"""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Callable
from pathlib import Path

from doorkeep import events
from doorkeep.operate.table import markdown_table
from tests.docs.pages import ROOT

__all__ = ["PAGES_WITH_TABLES", "with_tables"]

_TABLE = re.compile(r"(?P<opening><!-- table of (?P<name>\w+) -->\n).*?(?=<!-- end of table -->)", re.DOTALL)

PAGES_WITH_TABLES = [ROOT / "docs" / "events.md", ROOT / "docs" / "settings.md"]


def with_tables(page: Path) -> str:
    """Return the text of a page with its tables as they should be."""
    return _TABLE.sub(
        lambda found: f"{found['opening']}\n{_TABLES[found['name']]()}\n", page.read_text(encoding="utf-8")
    )


def table_of_events() -> str:
    """Return each kind of event with its fields and what it says."""
    rows = ["| event | its fields, beside `server` | it says |", "|---|---|---|"]
    for kind in vars(events).values():
        if not isinstance(kind, type) or not issubclass(kind, events.Event) or kind is events.Event:
            continue
        fields = [f"`{field.name}: {field.type}`" for field in dataclasses.fields(kind) if field.name != "server"]
        says = " ".join((kind.__doc__ or "").split())
        rows.append(f"| `{kind.__name__}` | {_cell('<br>'.join(fields))} | {_cell(says)} |")
    return "\n".join(rows) + "\n"


def table_of_settings() -> str:
    """Return each setting with what there is to know of it."""
    # The one default that is not the same on every system.
    return markdown_table().replace(f" {socket.SOMAXCONN} ", " `socket.SOMAXCONN` ") + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_TABLES: dict[str, Callable[[], str]] = {"events": table_of_events, "settings": table_of_settings}

if __name__ == "__main__":
    for page in PAGES_WITH_TABLES:
        page.write_text(with_tables(page), encoding="utf-8")
