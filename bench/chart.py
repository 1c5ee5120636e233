"""A bar chart as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LABELS = 250  # the width that the names take
VALUES = 90  # the width that the numbers take
BAR = 22
STEP = 32
HEAD = 44


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    colour: str


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from zero, one a line, each with its value."""
    longest = max((bar.value for bar in bars), default=0) or 1
    height = HEAD + STEP * len(bars) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="14" fill="#1f2328">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-weight="600">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        top = HEAD + STEP * number
        length = bar.value / longest * (WIDTH - LABELS - VALUES)
        middle = f'y="{top + BAR / 2}" dominant-baseline="central"'
        lines += [
            f'<text x="{LABELS - 10}" {middle} text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{bar.colour}"/>',
            f'<text x="{LABELS + length + 8:.1f}" {middle}>{bar.value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
