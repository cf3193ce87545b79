"""The comparison as an SVG bar chart that needs no library to draw and no theme to read.

One bar shows how many times faster than the standard library ours is, a thinner one the same for
fastrlock.  The scale is logarithmic, for the ratios go from one to forty: bars begin at the dashed
line, which is the standard library itself, and what is slower points to the left.  The picture has
a background of its own, light or dark as the reader prefers, so that it is legible on any page.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

WIDTH = 860
MARGIN = 20
LABEL = 290
VALUE = 200
PLOT = WIDTH - 2 * MARGIN - LABEL - VALUE
LEFT = MARGIN + LABEL
ROW = 30
HEAD = 112
FOOT = 22
TIMES = "\N{MULTIPLICATION SIGN}"
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif }
  text { fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .soft { fill: #59636e; font-size: 12px }
  .tick { fill: #59636e; font-size: 11px; text-anchor: middle }
  .label { font: 12px ui-monospace, SFMono-Regular, Menlo, monospace; text-anchor: end }
  .strong { font-weight: 600 }
  .ours { fill: #1f6feb }
  .fastrlock { fill: #9aa4af }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .stdlib { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d }
    text { fill: #f0f6fc }
    .soft, .tick { fill: #9198a1 }
    .ours { fill: #4493f8 }
    .fastrlock { fill: #656c76 }
    .grid { stroke: #30363d }
    .stdlib { stroke: #ff7b72 }
  }
"""


def _text(x: float, y: float, text: str, class_: str = "") -> str:
    attribute = f' class="{class_}"' if class_ else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(text)}</text>'


def _line(x: float, top: float, bottom: float, class_: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" class="{class_}"/>'


@dataclass(frozen=True)
class Scale:
    """Ratios to places."""

    low: float
    high: float

    @classmethod
    def over(cls, ratios: Sequence[float]) -> "Scale":
        """One that shows all of *ratios*, and 1 and 2."""
        return cls(min([1.0, *ratios]), max([2.0, *ratios]))

    def x(self, ratio: float) -> float:
        """The place of *ratio*."""
        return LEFT + math.log(ratio / self.low) / math.log(self.high / self.low) * PLOT

    def ticks(self) -> list[float]:
        """The round ratios that are shown."""
        return [tick for tick in TICKS if self.low <= tick <= self.high]


def _bar(scale: Scale, y: float, height: float, ratio: float, class_: str) -> str:
    begin, end = sorted((scale.x(1.0), scale.x(ratio)))
    box = f'x="{begin:.1f}" y="{y:g}" width="{max(1.0, end - begin):.1f}" height="{height:g}"'
    return f'<rect {box} rx="2" class="{class_}"/>'


@dataclass(frozen=True)
class Chart:
    """One kind of chart: what its rows compare."""

    heading: str
    fast: str
    """The key of our side in a row's times."""

    legend: str
    fastrlock: bool = False

    def _legend(self, y: float) -> list[str]:
        parts = [
            f'<rect x="{LEFT}" y="{y - 10}" width="12" height="12" rx="2" class="ours"/>',
            _text(LEFT + 18, y, self.legend, "soft"),
        ]
        x = LEFT + 30 + 7 * len(self.legend)
        if self.fastrlock:
            parts += [
                f'<rect x="{x}" y="{y - 8}" width="12" height="8" rx="2" class="fastrlock"/>',
                _text(x + 18, y, "fastrlock", "soft"),
            ]
            x += 90
        parts += [
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 18}" y2="{y - 4}" class="stdlib"/>',
            _text(x + 24, y, "threading = 1", "soft"),
        ]
        return parts

    def _row(
        self, row: dict[str, Any], y: float, scale: Scale, duration: Callable[[float], str]
    ) -> list[str]:
        ours, theirs = row["times_faster"]["median"], row.get("fastrlock_times_faster")
        times = " → ".join(duration(row["ns"][name]["median"]) for name in ("stdlib", self.fast))
        parts = [_text(LEFT - 10, y + 17, row["operation"], "label")]
        if theirs is None:
            parts.append(_bar(scale, y + 5, 16, ours, "ours"))
            end = ours
        else:
            parts.append(_bar(scale, y + 3, 12, ours, "ours"))
            parts.append(_bar(scale, y + 16, 6, theirs["median"], "fastrlock"))
            end = max(ours, theirs["median"])
        x = scale.x(max(end, 1.0)) + 8
        number = f'<tspan class="strong">{ours:.{1 if ours >= 2 else 2}f}{TIMES}</tspan>'
        value = f'{number} <tspan class="soft">{escape(times)}</tspan>'
        parts.append(f'<text x="{x:.1f}" y="{y + 17:g}">{value}</text>')
        return parts

    def render(
        self,
        title: str,
        subtitle: str,
        rows: Sequence[dict[str, Any]],
        duration: Callable[[float], str],
    ) -> str:
        """The chart of the rows that have a ratio, as the text of an SVG file."""
        shown = [row for row in rows if row["times_faster"] is not None]
        keys = ("times_faster", "fastrlock_times_faster")
        scale = Scale.over([row[key]["median"] for row in shown for key in keys if row.get(key)])
        height = HEAD + ROW * len(shown) + FOOT
        bottom = height - FOOT + 4
        size = f'width="{WIDTH - 1}" height="{height - 1}"'
        parts = [
            '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title"',
            f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
            f'<title id="title">{escape(f"{self.heading}, {title}")}</title>',
            f"<style>{STYLE}</style>",
            f'<rect x="0.5" y="0.5" {size} rx="8" class="page"/>',
            _text(MARGIN, 30, self.heading, "title"),
            _text(MARGIN, 50, f"{title}, {subtitle}", "soft"),
            *self._legend(76),
        ]
        for tick in scale.ticks():
            parts.append(_text(scale.x(tick), HEAD - 10, f"{tick:g}{TIMES}", "tick"))
            if tick != 1:
                parts.append(_line(scale.x(tick), HEAD - 4, bottom, "grid"))
        for index, row in enumerate(shown):
            parts += self._row(row, HEAD + ROW * index, scale, duration)
        parts += [_line(scale.x(1.0), HEAD - 4, bottom, "stdlib"), "</svg>"]
        return "\n".join(parts) + "\n"


OPERATIONS = Chart(
    "Times faster than the standard library's threading", "ours", "pyfastlock", fastrlock=True
)
PROGRAMS = Chart(
    "Whole programs, times faster after pyfastlock.patch()", "patched", "patched by pyfastlock"
)
