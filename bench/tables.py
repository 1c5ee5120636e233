"""Numbers and tables as text."""

from collections.abc import Sequence

from bench.summary import Spread

ABSENT = "–"
MEBIBYTE = 1024 * 1024


def ratio(value: float) -> str:
    """Three digits, however small or large the value."""
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:,.0f}"


def span(spread: Spread | None) -> str:
    """The median, and the quartiles in brackets."""
    if spread is None:
        return ABSENT
    return f"{ratio(spread.median)} ({ratio(spread.lower_quartile)}–{ratio(spread.upper_quartile)})"


def if_known(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that reads as well in a terminal: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for name, *numbers in (head, rule, *rows):
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        lines.append(f"| {' | '.join([name.ljust(widths[0]), *cells])} |")
    return "\n".join(lines)


def without_empty_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the columns of which nothing is known in any row."""
    kept = [place for place in range(len(head)) if any(row[place] != ABSENT for row in rows)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]
