"""How costs grow: small line charts, a panel for each series of scenarios, as one SVG file.

A series is made of the rows that have the same name for it.  Its points are at the number of
threads, waiters or locks.  Both axes are logarithmic.
"""

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from measure.machine import subtitle, title
from output.report import duration

WIDTH, HEIGHT = 400, 230
COLUMNS = 2
MARGIN, HEAD = 20, 88
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 40, 34
LINES = {"stdlib": "threading", "ours": "pyfastlock", "floor": "pthreads in C"}

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }
  text { fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .panel { font-weight: 600 }
  .soft { fill: #59636e; font-size: 11px }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  polyline { fill: none; stroke-width: 2 }
  polyline.stdlib { stroke: #cf222e; stroke-dasharray: 5 3 }
  polyline.ours { stroke: #1f6feb }
  polyline.floor { stroke: #9aa4af; stroke-width: 1.5 }
  circle.stdlib { fill: #cf222e }
  circle.ours { fill: #1f6feb }
  circle.floor { fill: #9aa4af }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #f0f6fc }
    .soft { fill: #9198a1 }
    .grid { stroke: #30363d }
    polyline.stdlib { stroke: #ff7b72 }
    polyline.ours { stroke: #4493f8 }
    circle.stdlib { fill: #ff7b72 }
    circle.ours { fill: #4493f8 }
  }
"""


def _text(x: float, y: float, text: str, class_: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{class_}">{escape(text)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """One, two and five times the powers of ten from *low* to *high*; fewer where they are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return ticks if len(ticks) <= 6 else [t for t in ticks if f"{t:e}".startswith("1.")]


def _place(value: float, low: float, high: float, begin: float, end: float) -> float:
    share = math.log(value / low) / math.log(high / low) if high > low else 0.5
    return begin + share * (end - begin)


def _panel(name: str, rows: Sequence[dict[str, Any]], x0: float, y0: float) -> list[str]:
    points = {
        line: [(r["x"], r["ns"][line]["median"]) for r in rows if line in r["ns"]] for line in LINES
    }
    xs = sorted({x for line in points.values() for x, _ in line})
    ys = [y for line in points.values() for _, y in line]
    low, high = min(ys) / 1.3, max(ys) * 1.3
    left, right = x0 + LEFT, x0 + WIDTH - RIGHT
    top, bottom = y0 + TOP, y0 + HEIGHT - BOTTOM
    parts = [_text(x0 + 8, y0 + 22, name, "panel")]
    for tick in _ticks(low, high):
        y = _place(tick, low, high, bottom, top)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(_text(left - 6, y + 4, duration(tick), "soft end"))
    for x in xs:
        place = _place(x, xs[0], xs[-1], left + 8, right - 8)
        parts.append(_text(place, bottom + 18, f"{x:,}", "soft middle"))
    for line, its_points in points.items():
        places = [
            (_place(x, xs[0], xs[-1], left + 8, right - 8), _place(y, low, high, bottom, top))
            for x, y in its_points
        ]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{joined}" class="{line}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{line}"/>' for x, y in places]
    return parts


def render(machine: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The chart of the rows that belong to a series, as the text of an SVG file."""
    series = list(dict.fromkeys(row["series"] for row in rows if row.get("series")))
    width = COLUMNS * WIDTH + 2 * MARGIN
    height = HEAD + math.ceil(len(series) / COLUMNS) * HEIGHT + MARGIN
    heading = "How the time of an operation grows"
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title"',
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<title id="title">{escape(f"{heading}, {title(machine)}")}</title>',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="page"/>',
        _text(MARGIN, 30, heading, "title"),
        _text(MARGIN, 50, f"{title(machine)}, {subtitle(machine)}", "soft"),
    ]
    x = float(MARGIN)
    for line, legend in LINES.items():
        parts.append(f'<polyline points="{x},72 {x + 22},72" class="{line}"/>')
        parts.append(_text(x + 28, 76, legend, "soft"))
        x += 50 + 7 * len(legend)
    for index, name in enumerate(series):
        x0, y0 = MARGIN + index % COLUMNS * WIDTH, HEAD + index // COLUMNS * HEIGHT
        parts += _panel(name, [row for row in rows if row.get("series") == name], x0, y0)
    return "\n".join([*parts, "</svg>"]) + "\n"
