"""All goals on one page, from the raw data of the reports that a folder holds.

Each report has been measured by itself, perhaps on another day: its rounds are compared with one another, and with
nothing of another report.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.catalogue import WORKS, Case
from bench.load import Result
from bench.report import GOALS_HEAD, goal_rows
from bench.rounds import Sample
from bench.tables import markdown_table

NAME = "overview"


def write_overview(folder: Path, cases: Iterable[Case] = ()) -> None:
    """Write the page anew; `cases` are all of the catalogue if there are none."""
    rows = []
    measured = set()
    for case in cases or [case for work in WORKS for case in work.cases()]:
        report = folder / f"{case.name}.json"
        if not case.goals or not report.exists():
            continue
        raw = json.loads(report.read_text(encoding="utf-8"))
        found = goal_rows(case.goals, [_sample(one) for one in raw["samples"]])
        rows += [[f"[{case.name}]({case.name}.md)", *row] for row in found]
        if found:
            measured.add(f"{case.name}: {raw['rounds']} rounds, {raw['machine']['date']}")
    if not rows:
        return
    page = ["# Goals", "What doorkeep wants to reach: medians of the rounds, and the quartiles in brackets."]
    page += [markdown_table(["report", *GOALS_HEAD], rows), "\n".join(f"* {line}" for line in sorted(measured))]
    (folder / f"{NAME}.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")


def _sample(raw: dict[str, Any]) -> Sample:
    """Make a sample of the fields that there are: reports of an earlier version may have others."""
    known = {field.name for field in fields(Result)}
    result = Result(**{name: value for name, value in raw["result"].items() if name in known})
    return Sample(**{**raw, "result": result})
