"""The floor: what an operation would cost if the lock did nothing at all.

``floor.c`` holds types with methods that do nothing.  For operations that are calls, the floor is
the same call of a method of the same shape: a C method with the same flags, or, where ours poses
as a Python function, an object of a type of its own.  For a creation it is ``object()``.  For a
with-block it is an object whose class has two such methods, already bound to another object, as
``__enter__`` and ``__exit__``.  Such methods do not bind again, and so this is the cheapest context
manager that the interpreter can run: no bound method is made, and no lock is touched.
(``contextlib.nullcontext`` is Python code and several times slower; the C context managers of the
standard library all do some work.)

The extension is compiled on demand, into a temporary directory, with the compiler that built the
interpreter.  Where there is none, there is no floor, and everything else works.
"""

import functools
import importlib.machinery
import importlib.util
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

NAME = "bench_floor"
SOURCE = Path(__file__).with_name("floor.c")


def _command(target: Path) -> list[str]:
    link = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
    flags = shlex.split(sysconfig.get_config_var("CCSHARED") or "-fPIC")
    include = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    return [
        *link,
        *flags,
        "-O3",
        "-DNDEBUG",
        *(f"-I{folder}" for folder in sorted(include)),
        str(SOURCE),
        "-o",
        str(target),
    ]


def build(folder: Path) -> Path | None:
    """The extension, compiled into *folder*, or None where it cannot be compiled."""
    target = folder / (NAME + importlib.machinery.EXTENSION_SUFFIXES[0])
    try:
        subprocess.run(_command(target), check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return target


@functools.cache
def load() -> Any:
    """The module with the types, or None where it cannot be compiled."""
    with tempfile.TemporaryDirectory() as folder:
        target = build(Path(folder))
        spec = target and importlib.util.spec_from_file_location(NAME, target)
        if not spec or spec.loader is None:
            return None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def names() -> dict[str, object] | None:
    """What the statements of a floor use, or None where it cannot be compiled."""
    module = load()
    if module is None:
        return None
    nothing = module.Nothing()
    empty = type("Empty", (), {"__enter__": nothing.enter, "__exit__": nothing.leave})
    return {"nothing": nothing, "posing": module.Posing(), "empty": empty()}
