"""Which tests try a mutant, in which order: those first that are quick and near to it.

AREAS is the table. The first row whose expression matches the path of the file counts. A stage ends
the matter when it fails; its name and its test are the killer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from builds import FAULTS, ROOT
from mutants import Mutant


@dataclass(frozen=True)
class Stage:
    """Tests that are run together."""

    runner: str  # "explore", "litmus", "pytest", "refleaks", or one of run.py's CORE_FLAGS
    what: tuple[str, ...]


WORDS = {
    "deadlock": ["deadlocks", "deadlocks_plain", "options"],
    "dump": ["dumps", "contention", "options"],
    "probes": ["probes", "contention"],
    "contention": ["contention", "dumps"],
    "waits": ["deadlocks", "deadlocks_plain", "dumps"],
    "names": ["contention", "dumps", "deadlocks", "deadlocks_plain"],
    "place": ["contention"],
    "condition": ["condition", "condition_foreign", "locks_conditions", "defects", "inside"],
    "event": ["event", "events_semaphores_barriers", "defects", "inside"],
    "sema": ["semaphore", "events_semaphores_barriers", "defects", "inside"],
    "barrier": ["barrier", "events_semaphores_barriers", "defects", "inside"],
    "foreign": ["condition_foreign", "foreign_locks", "condition", "locks_conditions"],
    "inside": ["inside", "events_semaphores_barriers", "event", "semaphore", "barrier"],
    "instance": ["creation", "introspection", "inside", "events_semaphores_barriers"],
    "kind": ["patch_kinds", "patch", "patch_neighbours", "introspection"],
    "block": ["locks_conditions", "condition_foreign", "foreign_locks", "threads", "thrown"],
    "lock": ["lock", "rlock", "locks_conditions", "defects", "introspection", "creation"],
    "args": ["locks_conditions", "events_semaphores_barriers", "lock", "rlock", "condition"],
    "bound": ["bound_methods", "lock", "rlock", "locks_conditions", "subinterpreters"],
    "method": ["methods", "bound_methods", "creation", "locks_conditions", "condition"],
    "types": ["creation", "introspection", "lock", "rlock", "condition"],
    "state": ["subinterpreters", "introspection", "import"],
    "cond": ["condition", "locks_conditions"],
    "mutex": ["lock", "rlock", "locks_conditions"],
    "fork": ["locks_conditions", "events_semaphores_barriers", "module"],
    "thread": ["threads", "locks_conditions", "rlock"],
    "": ["locks_conditions", "condition", "event", "semaphore", "barrier"],
}
"""By the first of these that is in the name of a C file: the tests/*/test_<name>.py that are near
to it."""

FOLDERS = [("behaviour", "arguments"), ("model", "concurrency", "signals", "fork", "lifetime")]
"""Those of tests/ in which they are looked for; each row is one stage."""

PROGRAMS = {"main", "options", "pytest_plugin", "foreign_locks"}
"""Those of tests/behaviour that take long, most of them because each test starts a program. They
try a mutant only where they are near."""

SCARCE = (
    "tests/faults/test_memory.py",
    "tests/faults/test_system.py",
    "tests/lifetime/test_subinterpreters.py",
)
"""What tries the lines after a call that fails, and an interpreter that ends: of all types."""

SLOW = ("races", "stress", "fork", "open", "spin", "park")
"""The C tests that take longest."""


def near(path: str) -> list[str]:
    stem = Path(path).stem
    return WORDS[next(word for word in WORDS if word in stem)]


def python_stages(path: str) -> list[Stage]:
    stages = []
    for folders in FOLDERS:
        names = [f"tests/{folder}/test_{name}.py" for folder in folders for name in near(path)]
        files = tuple(name for name in names if (ROOT / name).exists())
        if files:
            stages.append(Stage("pytest", files))
    everything = sorted((ROOT / "tests/behaviour").glob("test_*.py"))
    quick = [file for file in everything if file.stem.removeprefix("test_") not in PROGRAMS]
    done = {name for stage in stages for name in stage.what}
    rest = (*(str(file.relative_to(ROOT)) for file in quick), *SCARCE)
    # In a process of their own: after tests that leave threads behind, each test of a foreign lock
    # that raises takes five seconds, because other threads may hold it.
    late = Stage("pytest", tuple(name for name in rest if name not in done))
    return [stages[0], late, *stages[1:]]


CLOSE = {
    "bucket": "lot",
    "waiter": "lot",
    "parking_lot": "lot",
    "lock_word": "mutex",
    "lockable": "mutex",
    "futex": "park",
    "condvar": "park",
    "slice": "park",
    "dump_later": "dump",
    "dump_signal": "dump",
}
"""What else a file's tests and scenarios are named after."""


def words_of(path: str) -> tuple[str, str]:
    stem = Path(path).stem
    return stem, CLOSE.get(stem, stem)


def c_stages(path: str, runner: str = "c") -> list[Stage]:
    """All the C tests, those first that are named after the file or its neighbours."""
    stem, close = words_of(path)
    tests = [file.stem for file in sorted((ROOT / "tests/c").glob("test_*.c"))]
    tests = [name for name in tests if name.startswith(FAULTS) == (runner == "c faults")]
    tests.sort(key=lambda name: (stem not in name, close not in name, name.endswith(SLOW)))
    return [Stage(runner, tuple(tests))]


def near_c_stages(path: str) -> list[Stage]:
    """Those C tests that are named after the file, or try what looks at all waits."""
    _, close = words_of(path)
    (stage,) = c_stages(path)
    words = (close, "order", "fork")
    return [Stage("c", tuple(name for name in stage.what if any(word in name for word in words)))]


def fault_stages(path: str) -> list[Stage]:
    return c_stages(path, "c faults")


def explorer_stages(path: str) -> list[Stage]:
    is_there = (ROOT / "tests/explore/Makefile").exists()
    stem, close = words_of(path)
    words = ("give-way", stem, close) if "lock" in stem else (stem, close)
    return [Stage("explore", words)] if is_there else []


def litmus_stages(path: str) -> list[Stage]:
    is_there = (ROOT / "tests/litmus/citations.py").exists()
    return [Stage("litmus", (path,))] if is_there else []


AREAS = [
    (r"csrc/core/deadlock\.", [near_c_stages, python_stages, fault_stages, explorer_stages]),
    (r"csrc/core/(dump|probes)", [near_c_stages, python_stages, fault_stages]),
    (r"csrc/park/(condvar|slice)\.", [lambda path: c_stages(path, "c condvar")]),
    (r"csrc/(core|park)/", [c_stages, fault_stages, explorer_stages, python_stages]),
    (r"csrc/(py|types)/", [python_stages]),
]


LEAKS = re.compile(r"(DECREF|CLEAR|INCREF|NewRef|SETREF|Free|free)\w*\(|\bfor \(")
"""What a mutant of such a line leaves behind may show only where references are counted."""

MEMORY = re.compile(r"(alloc|free|destroy|fini)\w*\(|\bfor \(|\[|\bmem(cpy|set)\(")
"""What a mutant of such a line leaves behind, or does beyond the end of an array, shows only under
AddressSanitizer."""


def stages_for(mutant: Mutant, *, debug: bool) -> list[Stage]:
    """`debug`: whether there is an interpreter that counts references."""
    path = mutant.path
    if mutant.kind == "ordering":
        return litmus_stages(path)
    row = next(makers for pattern, makers in AREAS if re.match(pattern, path))
    stages = [stage for make in row for stage in make(path)]
    if MEMORY.search(mutant.before[0]) and stages[0].runner == "c":
        stages += c_stages(path, "c leaks")
    may_leak = mutant.kind == "dropped" or LEAKS.search(mutant.before[0])
    if debug and may_leak and path.startswith(("csrc/py/", "csrc/types/")):
        stages.append(Stage("refleaks", python_stages(path)[0].what))
    return stages


def has_orderings() -> bool:
    """Whether something can tell an ordering from a weaker one."""
    return bool(litmus_stages(""))
