"""Every code block of the documentation runs, and does what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.pages import PAGES, ROOT, run_blocks

# More than this, and the pages show too much that nobody checks.
MOST_NOT_RUN = 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_do_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_blocks(page, tmp_path)


def test_few_blocks_are_not_run_each_for_a_reason() -> None:
    reasons = [
        block.attributes["not_run"] for page in PAGES for block in blocks_of(page) if "not_run" in block.attributes
    ]
    assert all(reasons)
    assert len(reasons) <= MOST_NOT_RUN, reasons


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
