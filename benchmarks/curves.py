"""Draws the line charts of what compare.py wrote.

    python benchmarks/curves.py JSON [--svg PATH]

compare.py draws them itself where it has measured any series.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from output import line_charts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("result", type=Path, metavar="JSON")
    parser.add_argument("--svg", type=Path, metavar="PATH", help="default: beside it, -curves.svg")
    options = parser.parse_args(arguments)
    result = json.loads(options.result.read_text(encoding="utf-8"))
    target = options.svg or options.result.with_name(f"{options.result.stem}-curves.svg")
    target.write_text(line_charts.render(result["environment"], result["rows"]), encoding="utf-8")
    print(f"written: {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
