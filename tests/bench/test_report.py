"""Tests of what a report says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.catalogue import Goal
from bench.chart import Bar, bar_chart
from bench.machine import Machine
from bench.overview import write_overview
from bench.report import Report
from bench.roster import LIMIT, Contender
from bench.rounds import Measurement
from bench.tables import markdown_table, ratio
from tests.bench.samples import case, sample

MACHINE = Machine("A processor", 2, "Linux 6", "CPython 3.11.7", 0.25, "2030-01-02 03:04 UTC")


@pytest.fixture
def report() -> Report:
    """A report on contenders of three families, one of which failed once."""
    contenders = (
        Contender(LIMIT, "The least", (), "limit"),
        Contender("mine", "My server", (), "doorkeep"),
        Contender("theirs", "Their server", ()),
    )
    goals = (Goal("mine", 0.9, LIMIT), Goal("mine", 1.5, "theirs"), Goal("mine", 0.5, value="slowest"))
    measurement = Measurement(
        [
            sample(LIMIT, 0, 2000, load_cpu=0.99),
            sample("mine", 0, 1000, latency=1234.5, slowest=0.75),
            sample("theirs", 0, 500),
            sample(LIMIT, 1, 2000, load_cpu=0.98),
        ],
        ["nothing, round 2: mine failed: it fell."],
    )
    return Report(case(*contenders, goals=goals), measurement, 2, 0.5, MACHINE, "python -m bench --rounds 2")


def cells(line: str) -> list[str]:
    """Return the texts of a row of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(table: str) -> list[list[str]]:
    """Return the cells of a table, without its rule."""
    head, _, *lines = table.splitlines()
    return [cells(line) for line in (head, *lines)]


def test_table_has_the_columns_of_which_something_is_known(report: Report) -> None:
    assert rows(report.table()) == [
        [
            "contender",
            "nothings/s",
            "of c",
            "CPU µs each",
            "peak MiB",
            "p50 µs",
            "slowest",
            "load CPU",
            "errors",
            "lost",
        ],
        [LIMIT, "2,000", "–", "200.0", "2.0", "–", "–", "98%", "0", "0"],
        ["mine", "1,000", "0.500 (0.500–0.500)", "100.0", "2.0", "1,234", "0.75", "–", "0", "0"],
        ["theirs", "500", "0.250 (0.250–0.250)", "50.0", "2.0", "–", "–", "–", "0", "0"],
    ]


def test_ratios_are_of_doorkeep_to_each_of_the_others(report: Report) -> None:
    assert rows(report.ratios()) == [
        ["", "mine"],
        [LIMIT, "0.500 (0.500–0.500)"],
        ["theirs", "2.00 (2.00–2.00)"],
    ]


def test_goals(report: Report) -> None:
    assert rows(report.goals())[1:] == [
        ["mine / c", "≥ 0.900", "0.500 (0.500–0.500)", "no"],
        ["mine / theirs", "≥ 1.50", "2.00 (2.00–2.00)", "yes"],
        ["mine, slowest connection / mean", "≥ 0.500", "0.750 (0.750–0.750)", "yes"],
    ]


def test_a_report_on_others_alone_compares_with_nothing(report: Report) -> None:
    others = [one for one in report.measurement.samples if one.contender != "mine"]
    page = replace(report, measurement=Measurement(others)).markdown()
    assert "## Ratios" not in page
    assert "## Goals" not in page


def test_the_page_says_how_it_was_measured(report: Report) -> None:
    page = report.markdown()
    assert page.startswith("# nothing\n\nNothing is done.\n\n![nothings a second](nothing.svg)\n")
    assert "was the limit for c: it had a CPU for more than 95 % of the time." in page
    assert "2 rounds." in page
    assert "0.5 s after a warm-up" in page
    assert "* c: The least\n* mine: My server\n" in page
    assert "* nothing, round 2: mine failed: it fell.\n" in page
    assert "A processor, 2 cores, Linux 6, CPython 3.11.7; 2030-01-02 03:04 UTC, load average 0.25" in page
    assert page.endswith("Command: `python -m bench --rounds 2`\n")


def test_the_overview_has_the_goals_of_all_reports_that_there_are(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path)
    old = json.loads(report.raw())
    old["samples"][0]["result"]["field_of_an_earlier_version"] = 1
    (tmp_path / "old.json").write_text(json.dumps(old))
    write_overview(tmp_path, [report.case, replace(report.case, name="absent"), replace(report.case, name="old")])
    page = (tmp_path / "overview.md").read_text()
    table = page[page.index("|") : page.rindex("|\n") + 1]
    assert [row[:2] for row in rows(table)[1:]] == [
        [f"[{name}]({name}.md)", goal]
        for name in ("nothing", "old")
        for goal in ("mine / c", "mine / theirs", "mine, slowest connection / mean")
    ]
    assert page.endswith("* nothing: 2 rounds, 2030-01-02 03:04 UTC\n* old: 2 rounds, 2030-01-02 03:04 UTC\n")


def test_without_reports_there_is_no_overview(tmp_path: Path) -> None:
    write_overview(tmp_path)
    assert not list(tmp_path.iterdir())


def test_written_files(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path / "new" / "folder")
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    assert written.keys() == {"nothing.md", "nothing.svg", "nothing.json"}
    raw = json.loads(written["nothing.json"])
    assert [one["result"]["rate"] for one in raw["samples"]] == [2000, 1000, 500, 2000]
    assert raw["machine"]["cores"] == 2
    assert raw["missing"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1.00"), (0.01234, "0.0123"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")],
)
def test_ratio(value: float, text: str) -> None:
    assert ratio(value) == text


def test_markdown_table_is_aligned() -> None:
    assert markdown_table(["name", "n"], [["a", "1"], ["longer", "1,000"]]) == (
        "| name   |     n |\n"
        "| ------ | ----: |\n"
        "| a      |     1 |\n"
        "| longer | 1,000 |"
    )  # fmt: skip


def test_chart_draws_bars_in_proportion() -> None:
    chart = ElementTree.fromstring(bar_chart("<fast> & slow", [Bar("a", 50, "red"), Bar("b", 200, "blue")]))
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert chart.findtext("svg:title", namespaces=space) == "<fast> & slow"
    _, short, long = (float(bar.attrib["width"]) for bar in chart.findall("svg:rect", space))
    assert short * 4 == long


def test_chart_of_nothing() -> None:
    assert "</svg>" in bar_chart("nothing", [])


def test_this_machine_describes_itself() -> None:
    here = Machine.here()
    assert here.cores >= 1
    assert here.cpu in str(here)
