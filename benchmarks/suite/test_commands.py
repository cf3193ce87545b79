"""The commands beside the suite: they run, and what they compute and draw is right."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from itertools import product
from pathlib import Path

import pytest

import compare
import contention
import curves
import deadlocks
import fairness
import imports
import instructions
import memory
import readme
import signals
from measure import processes, timing
from measure.machine import environment
from output import bar_chart, line_charts, report
from workloads import programs, pthreads
from workloads.sample import Sample, jain_index

NAMES = ("stdlib", "ours")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that the commands start find the files beside them."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


def row(operation: str, stdlib: float, ours: float) -> dict[str, object]:
    rounds = [{"stdlib": stdlib, "ours": ours}] * 4
    task = next(task for task in compare.select("full", None) if task.name == operation)
    return compare.summarise(task, {"rounds": rounds})


def program_row() -> dict[str, object]:
    samples = {
        "stdlib": Sample(operations=1000, seconds=0.2, cpu_seconds=0.3, sleeps=500),
        "patched": Sample(operations=1000, seconds=0.1, cpu_seconds=0.1, sleeps=250),
    }
    return processes.summarise(programs.by_name("pipeline of 3 stages"), [samples] * 3)


def test_each_room_knows_only_those_before_it() -> None:
    folder = Path(compare.__file__).parent
    rooms = ("workloads", "measure", "output", "suite")
    for number, room in enumerate(rooms):
        for file in (folder / room).glob("*.py"):
            known = re.findall(r"^ *(?:from|import) (\w+)", file.read_text(), re.MULTILINE)
            assert not set(rooms[number + 1 :]) & set(known), file
            if room != "suite":
                assert not {f.stem for f in folder.glob("*.py")} & set(known), file


def test_jain_index() -> None:
    assert jain_index([5, 5, 5, 5]) == 1.0
    assert jain_index([20, 0, 0, 0]) == 0.25


def test_ratio_is_the_median_of_the_rounds() -> None:
    rounds = [{"stdlib": 40.0, "ours": 10.0}, {"stdlib": 90.0, "ours": 30.0}, {"stdlib": 1.0}]
    rounds += [{"stdlib": 100.0, "ours": 20.0}]
    spread = timing.ratios(rounds, "stdlib", "ours")
    assert spread == timing.Spread(4.0, 3.5, 4.5)
    assert timing.ratios(rounds, "fastrlock", "ours") is None


@pytest.mark.parametrize(
    ("ns", "text"),
    [(1.234, "1.2 ns"), (151.4, "151 ns"), (1234.0, "1.23 µs"), (5e6, "5 ms"), (2.5e9, "2.5 s")],
)
def test_duration(ns: float, text: str) -> None:
    assert report.duration(ns) == text


def test_table_has_a_line_for_each_operation() -> None:
    lines = report.table([row("RLock()", 160.0, 40.0), row("Lock()", 3000.0, 1500.0)]).split("\n")
    assert lines[0].split() == [
        *("operation", "stdlib", "fastrlock", "ours", "floor", "times", "faster")
    ]
    assert lines[2].split() == ["RLock()", "160", "ns", "-", "40", "ns", "-", "4.00", "(4.00-4.00)"]
    assert lines[3].split() == ["Lock()", "3", "µs", "-", "1.5", "µs", "-", "2.00", "(2.00-2.00)"]


def test_program_table_has_times_cpu_and_sleeps() -> None:
    lines = report.program_table([program_row()]).split("\n")
    assert lines[2].split("  ")[0] == "pipeline of 3 stages"
    assert lines[2].split()[4:] == [
        *("200", "µs", "100", "µs"),
        *("2.00", "(2.00-2.00)", "3.00", "(3.00-3.00)"),
        *("0.5", "→", "0.25"),
    ]


def bars(svg: str, class_: str) -> list[tuple[float, float]]:
    """Where the bars of *class_* begin and end, less the legend's."""
    rects = [r for r in ET.fromstring(svg).iter(f"{SVG}rect") if r.get("class") == class_]
    places = [(float(r.get("x", 0)), float(r.get("width", 0))) for r in rects]
    return [(x, x + width) for x, width in places[1:]]


def test_chart_draws_the_ratios() -> None:
    rows = [row("RLock()", 160.0, 10.0), row("Lock()", 400.0, 100.0), row("Event()", 1.0, 2.0)]
    svg = bar_chart.OPERATIONS.render("<Python>", "a & b", rows, report.duration)
    # From 1/2 to 16: five doublings, of which the first is left of the line.
    doubling = bar_chart.PLOT / 5
    one = bar_chart.LEFT + doubling
    expected = [(one, one + 4 * doubling), (one, one + 2 * doubling), (bar_chart.LEFT, one)]
    for bar, (begin, end) in zip(bars(svg, "ours"), expected, strict=True):
        assert bar == pytest.approx((begin, end), abs=0.2)
    texts = ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]
    wanted = {"RLock()", "Lock()", "<Python>, a & b", "fastrlock", f"10{bar_chart.TIMES}"}
    assert wanted <= set(texts)


def test_chart_of_the_programs() -> None:
    svg = bar_chart.PROGRAMS.render("Python", "machine", [program_row()], report.duration)
    whole = (bar_chart.LEFT, bar_chart.LEFT + bar_chart.PLOT)
    assert bars(svg, "ours") == [pytest.approx(whole, abs=0.2)]
    assert "fastrlock" not in {text.text for text in ET.fromstring(svg).iter(f"{SVG}text")}


def test_compare_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_path, svg_path = tmp_path / "result.json", tmp_path / "deep" / "result.svg"
    command = ["--plan", "smoke", "--json", str(json_path), "--svg", str(svg_path)]
    only = "^with rlock: pass$|^RLock, 2 threads contending|^logging"
    assert compare.main([*command, "--only", only]) == 0
    result = json.loads(json_path.read_text(encoding="utf-8"))
    assert [r["operation"] for r in result["rows"]] == [
        "with rlock: pass",
        "RLock, 2 threads contending",
    ]
    assert {"stdlib", "ours"} <= result["rows"][0]["ns"].keys()
    assert result["rows"][0]["times_faster"]["median"] > 0
    assert 0.5 <= result["rows"][1]["jain"]["ours"]["median"] <= 1
    (program,) = result["programs"]
    assert program["operation"] == "logging from 4 threads"
    assert program["ns"].keys() == program["cpu_ns"].keys() == {"stdlib", "patched"}
    printed = capsys.readouterr().out
    assert result["environment"]["python"] in printed
    assert "with rlock: pass" in printed
    assert "logging from 4 threads" in printed
    for path in (svg_path, *(svg_path.with_stem(f"result-{s}") for s in ("programs", "curves"))):
        assert ET.parse(path).getroot().tag == f"{SVG}svg"


def point(x: int, **ns: float) -> dict[str, object]:
    return {"series": "a series", "x": x, "ns": {name: {"median": t} for name, t in ns.items()}}


def test_curves_have_a_line_for_each_side(tmp_path: Path) -> None:
    rows = [point(2, stdlib=1e3, ours=1e2), point(8, stdlib=1e4, ours=1e2, floor=1e3), row_of_one()]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"environment": environment(), "rows": rows}))
    assert curves.main([str(path)]) == 0
    root = ET.parse(tmp_path / "result-curves.svg").getroot()
    places = {
        line: [
            (float(c.get("cx", 0)), float(c.get("cy", 0)))
            for c in root.iter(f"{SVG}circle")
            if c.get("class") == line
        ]
        for line in line_charts.LINES
    }
    assert {line: len(its) for line, its in places.items()} == {"stdlib": 2, "ours": 2, "floor": 1}
    (left, slow), (right, slower) = places["stdlib"]
    assert left < right
    assert slow > slower  # the axis points upwards
    assert places["ours"][0][1] == places["ours"][1][1] > slow
    assert places["floor"] == [(right, slow)]


def row_of_one() -> dict[str, object]:
    """A row that belongs to no series."""
    return {"operation": "Lock()", "ns": {"ours": {"median": 1.0}}}


def test_fairness_prints_a_line_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert fairness.main(["--seconds", "0.02"]) == 0
    lines = [line.split()[:3] for line in capsys.readouterr().out.split("\n")[2:] if line]
    assert lines == [list(p) for p in product(("equal", "greedy"), fairness.SECTIONS, NAMES)]


def test_signals_prints_a_line_for_each_wait(capsys: pytest.CaptureFixture[str]) -> None:
    assert signals.main(["--quick"]) == 0
    *table, summary = capsys.readouterr().out.splitlines()
    waits = [f"{kind}{timed}" for kind in signals.WAITS for timed in ("", ", timed")]
    assert [line.split(" | ")[0] for line in table[2:]] == [f"| {wait}" for wait in waits]
    assert f" of {3 * len(waits)} " in summary


def test_deadlocks_prints_a_line_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    deadlocks.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()[1:]
    names = [line[:28].strip() for line in lines]
    assert names == ["a cycle of 2 threads", "waits() of 10 threads"]
    assert all(0 < float(figure) < 60_000 for line in lines for figure in line[28:].split())


def test_contention_prints_a_line_for_each_program(capsys: pytest.CaptureFixture[str]) -> None:
    contention.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line[:18].strip() for line in lines] == ["through queue", "through lock"]
    assert all(float(figure) > 0 for line in lines for figure in line[18:].split()[:2])


@pytest.mark.parametrize("name", ["ping_pong", "contended", "barrier", "broadcast"])
def test_floor_of_the_scenarios(name: str) -> None:
    run = pthreads.runner(name, 2)
    if run is None:
        pytest.skip("there is no C compiler")
    sample = run(100)
    assert sample.operations == 100
    assert sample.seconds > 0
    assert sample.cpu_seconds > 0


def test_readme_gets_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = {"free_threaded": False, "system": "Linux", "cores": 2, "processor": "abacus"}
    paths = []
    for version, extra in (("3.13.1", [row("Event()", 60.0, 2.0)]), ("3.9.7", [])):
        result = {
            "environment": {**machine, "python": version},
            "rows": [row("Lock()", 3000.0, 1500.0), *extra],
            "programs": [program_row()],
        }
        paths.append(tmp_path / f"{version}.json")
        paths[-1].write_text(json.dumps(result))
    text = tmp_path / "README.md"
    ends = product(("figures", "programs"), ("begin", "end"))
    marks = [f"<!-- {name}: {end} -->" for name, end in ends]
    text.write_text("before\n" + "\nold\n".join(marks) + "\nafter\n")
    assert readme.main([*map(str, paths), "--readme", str(text)]) == 0
    assert text.read_text().split("\n") == [
        "before",
        marks[0],
        "| times faster than `threading` | 3.9 | 3.13 |",
        "| --- | ---: | ---: |",
        "| `Lock()` | 2.0 | 2.0 |",
        "| `Event()` | - | 30.0 |",
        "",
        "Python 3.9.7, 3.13.1; Linux, 2 cores, abacus.",
        marks[1],
        "old",
        marks[2],
        "| times faster when patched | 3.9 | 3.13 |",
        "| --- | ---: | ---: |",
        "| `pipeline of 3 stages` | 2.0 | 2.0 |",
        marks[3],
        "after",
        "",
    ]
    assert "| `Event()` |" in capsys.readouterr().out


def test_program_that_goes_wrong_is_noticed() -> None:
    with pytest.raises(programs.WrongResultError, match="items: 1 instead of 2"):
        programs.check("items", 1, 2)
    with pytest.raises(ZeroDivisionError):
        programs.run_threads([lambda: None, lambda: print(1 / 0)])
    unknown = programs.Program("no such program", programs.pipeline, 1, 1)
    with pytest.raises(processes.ProgramError, match="StopIteration"):
        processes.run(unknown, "stdlib", 1)


def test_compare_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.main(["--only", "no such operation"])
    assert "no operation matches" in capsys.readouterr().err


def test_imports_prints_a_line_for_each_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert imports.main(["--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    if printed.startswith("skipped: "):
        pytest.skip("there is no C compiler")
    lines = printed.split("\n")[3:]
    assert [line.split("  ")[0] for line in lines if line] == list(imports.CASES)


def test_memory_prints_every_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert memory.main(["--count", "20000"]) == 0
    lines = capsys.readouterr().out.split("\n")
    figures = {line.split()[0]: line.split()[1:] for line in lines[2:] if line}
    assert list(figures) == list(memory.TYPES)
    assert all(float(cells[0]) > 0 and float(cells[-1]) > 0 for cells in figures.values())


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_instructions_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert instructions.main(["--only", "^Lock\\(\\)$"]) == 0
    figures = capsys.readouterr().out.split("\n")[2].split()
    assert figures[0] == "Lock()"
    assert float(figures[1]) > 0
    assert float(figures[-1]) > 0


def test_instructions_without_valgrind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert instructions.main([]) == 0
    assert capsys.readouterr().out.startswith("skipped: ")
