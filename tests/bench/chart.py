"""The save-to-served times as bars, in an SVG that is written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from measure import Times

WIDTH, LABELS, ROW, TOP = 820, 290, 22, 34
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.other { fill: #afb8c1 }
.debugged { fill: #8c959f }
.ours { fill: #2da44e }
.floor { fill: #d0d7de }
.spread { stroke: #57606a; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .other { fill: #484f58 }
  .debugged { fill: #6e7681 }
  .floor { fill: #30363d }
  .spread { stroke: #8d96a0 }
}
"""


def kind(name: str) -> str:
    """The class of a bar."""
    if name.startswith("devlaunch"):
        return "ours"
    return "floor" if name.startswith("the ") else "debugged" if "," in name else "other"


def panel(title: str, times: Times, top: int) -> tuple[list[str], int]:
    """The elements of one app, and where the next panel begins."""
    measured = {name: values for name, values in times.items() if values}
    scale = (WIDTH - LABELS - 80) / max(max(values) for values in measured.values())
    found = [f'<text class="title" x="8" y="{top + 18}">{escape(title)}</text>']
    for index, (name, values) in enumerate(measured.items()):
        y = top + TOP + index * ROW
        middle, lowest, highest = median(values), min(values), max(values)
        at = LABELS + highest * scale + 8
        found += [
            f'<text x="{LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind(name)}" x="{LABELS}" y="{y}" width="{middle * scale:.1f}" '
            f'height="{ROW - 6}" rx="2"/>',
            f'<line class="spread" x1="{LABELS + lowest * scale:.1f}" '
            f'x2="{LABELS + highest * scale:.1f}" y1="{y + 8}" y2="{y + 8}"/>',
            f'<text x="{at:.1f}" y="{y + 12}">{middle * 1000:.0f} ms</text>',
        ]
    return found, top + TOP + len(measured) * ROW + 12


def draw(panels: Sequence[tuple[str, Times]]) -> str:
    """The whole picture."""
    elements: list[str] = []
    top = 4
    for title, times in panels:
        found, top = panel(title, times, top)
        elements += found
    body = "\n".join(elements)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
        f'aria-label="From the save of a file to the first answer of the new version">\n'
        f"<style>\n{STYLE}</style>\n{body}\n</svg>\n"
    )
