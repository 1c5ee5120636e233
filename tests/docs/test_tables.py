"""The tables in the documentation are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.catalogue import WORKS
from doorkeep import events
from tests.docs.pages import ROOT
from tests.docs.tables import PAGES_WITH_TABLES, table_of_events, with_tables


@pytest.mark.parametrize("page", PAGES_WITH_TABLES, ids=lambda page: page.name)
def test_tables_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n|") > 15  # there is one
    assert text == with_tables(page), "write them anew: python -m tests.docs.tables"


def test_no_event_is_missing() -> None:
    table = table_of_events()
    kinds = set(events.__all__) - {"Event", "subscribe"}
    assert {kind for kind in kinds if f"| `{kind}` |" not in table} == set()


def test_the_works_of_the_benchmarks_are_named() -> None:
    named = re.findall(
        r"^\| `([\w-]+)` \|", (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert named == [work.name for work in WORKS]
