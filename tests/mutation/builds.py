"""Building a mutant: only what has changed is compiled.

A build is a copy of csrc/ with its objects: the core as a library for the C tests, or the extension
for one interpreter. A mutant is put into the copy; the objects that read the file are compiled into
a folder of their own, and everything is linked anew.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
COMMON = ["-std=c11", "-D_GNU_SOURCE=1", "-O2", "-pthread", "-fPIC", "-w"]
CORE = ("platform", "park", "core")
FAULTS = "test_faults"
"""What the C tests that let calls fail begin with: they need a core of their own."""


class CannotBuildError(Exception):
    """The compiler refuses the mutant."""


class SameCodeError(Exception):
    """The compiler makes the same code of the mutant: nothing can tell the two apart."""


def run(command: list[str | Path], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBuildError(done.stderr)


def is_made_of(stamp: str, folder: Path) -> bool:
    file = folder / "stamp"
    return file.exists() and file.read_text() == stamp


class Build:
    """A copy of the sources in `folder`, and what is built of it."""

    flags: list[str]
    parts: ClassVar[list[str]] = ["csrc"]

    def __init__(self, folder: Path):
        self.folder = folder
        wanted = self.stamp()
        neighbour = folder.parent.with_name("job0") / folder.name
        if not is_made_of(wanted, folder) and is_made_of(wanted, neighbour):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(neighbour, folder)
        if not is_made_of(wanted, folder):
            shutil.rmtree(folder, ignore_errors=True)
            for part in self.parts:
                shutil.copytree(ROOT / part, folder / part)
            (folder / "objects").mkdir()
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(self.compile, self.sources()))
            self.finish()
            (folder / "stamp").write_text(wanted)
        shutil.rmtree(folder / "mutated", ignore_errors=True)
        (folder / "mutated").mkdir()
        for part in self.parts:
            shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
        self.link(self.objects())

    def stamp(self) -> str:
        """What the build is made of."""
        files = [file for part in self.parts for file in sorted((ROOT / part).rglob("*.[ch]"))]
        texts = [*map(str, files), *(file.read_text(encoding="utf-8") for file in files)]
        return hashlib.sha256(repr((COMMON, self.flags, texts)).encode()).hexdigest()

    def finish(self) -> None:
        """What is done once, when all is compiled."""

    def sources(self) -> list[str]:
        raise NotImplementedError

    def link(self, objects: list[Path]) -> None:
        raise NotImplementedError

    def object_of(self, source: str, kind: str = "objects") -> Path:
        return self.folder / kind / (source.replace("/", "_") + ".o")

    def objects(self) -> list[Path]:
        """Of each source the object to be linked."""
        mutated = [self.object_of(source, "mutated") for source in self.sources()]
        plain = [self.object_of(source) for source in self.sources()]
        return [new if new.exists() else old for new, old in zip(mutated, plain, strict=True)]

    def flags_of(self, source: str) -> list[str]:
        return self.flags

    def compile(self, source: str, kind: str = "objects") -> Path:
        made = self.object_of(source, kind)
        includes = ["-Icsrc", "-MMD", "-MF", made.with_suffix(".d")]
        command = ["gcc", *COMMON, *self.flags_of(source), *includes, "-c", source, "-o", made]
        run(command, self.folder)
        return made

    def readers(self, path: str) -> list[str]:
        """The sources that include the file, or are it."""
        return [
            source
            for source in self.sources()
            if re.search(
                rf"(?:^|[\s/]){re.escape(path)}(?:\s|$)",
                self.object_of(source).with_suffix(".d").read_text(),
            )
        ]

    @contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Inside the block the mutant is what is built."""
        place = self.folder / mutant.path
        text = place.read_text(encoding="utf-8")
        place.write_text(mutant.apply(text), encoding="utf-8")
        try:
            differs = False
            for source in self.readers(mutant.path):
                made = self.compile(source, "mutated")
                if made.read_bytes() == self.object_of(source).read_bytes():
                    made.unlink()
                else:
                    differs = True
            if not differs:
                raise SameCodeError
            self.link(self.objects())
            yield
        finally:
            place.write_text(text, encoding="utf-8")
            for made in (self.folder / "mutated").iterdir():
                made.unlink()


class CoreBuild(Build):
    """The core as a library, with assertions, and the C tests as programs that load it."""

    parts: ClassVar[list[str]] = ["csrc", "tests/c"]

    def __init__(self, folder: Path, *flags: str):
        self.flags = ["-UNDEBUG", *flags]
        self.linker = ["gcc", "-pthread", *flags]
        self.programs = [str(path.relative_to(ROOT)) for path in self.tests()]
        super().__init__(folder)

    def tests(self) -> list[Path]:
        found = sorted((ROOT / "tests/c").glob("test_*.c"))
        return [path for path in found if not path.name.startswith(FAULTS)]

    def finish(self) -> None:
        self.link(self.objects())
        for program in self.programs:
            self.link_program(program, self.object_of(program))

    def sources(self) -> list[str]:
        parts = [sorted((ROOT / "csrc" / part).rglob("*.c")) for part in CORE]
        return [str(path.relative_to(ROOT)) for part in parts for path in part] + self.programs

    def link(self, objects: list[Path]) -> None:
        library = [made for made in objects if "tests_c_test_" not in made.name]
        run([*self.linker, "-shared", "-o", "libcore.so", *library], self.folder)
        for program in self.programs:
            made = self.object_of(program, "mutated")
            plain = self.executable(program)
            mutated = plain.with_suffix(".mutated")
            mutated.unlink(missing_ok=True)
            if made.exists():
                self.link_program(program, made, mutated)

    def link_program(self, program: str, made: Path, to: Path | None = None) -> None:
        to = to or self.executable(program)
        here = "-Wl,-rpath,$ORIGIN"
        run([*self.linker, "-o", to, made, "libcore.so", here], self.folder)

    def executable(self, program: str) -> Path:
        return self.folder / Path(program).stem

    def command(self, program: str) -> list[str]:
        mutated = self.executable(program).with_suffix(".mutated")
        return [str(mutated if mutated.exists() else self.executable(program))]


class FaultyBuild(CoreBuild):
    """The core whose calls of the system can fail, and the C tests that let them fail."""

    def tests(self) -> list[Path]:
        return sorted((ROOT / "tests/c").glob(f"{FAULTS}*.c"))

    def sources(self) -> list[str]:
        return [*super().sources(), "tests/c/faults.c"]

    def flags_of(self, source: str) -> list[str]:
        is_core = source.startswith("csrc/")
        return [*self.flags, *(["-Itests/c", "-include", "faulty_calls.h"] if is_core else [])]


class ExtensionBuild(Build):
    """The package for the interpreter of a virtual environment that has the tests' packages."""

    def __init__(self, folder: Path, python: Path):
        self.python = python
        script = (
            "import pathlib, pyfastlock, pyfastlock._core, sysconfig;"
            "print(sysconfig.get_path('include'), sysconfig.get_path('platinclude'));"
            "print(pathlib.Path(pyfastlock.__file__).parent);"
            "print(pyfastlock._core.__file__);"
            "print(pyfastlock.__version__);"
            "print(0 if sysconfig.get_config_var('Py_GIL_DISABLED') else 1)"
        )
        told = subprocess.run(
            [python, "-P", "-c", script], capture_output=True, text=True, check=True
        )
        includes, package, module, version, has_gil = told.stdout.splitlines()
        self.flags = [f"-I{path}" for path in includes.split()]
        self.flags += ["-DNDEBUG", "-fvisibility=hidden", f'-DPYFASTLOCK_VERSION="{version}"']
        self.flags += [f"-DFL_RUNTIME_LOCK={has_gil}"]
        self.package = Path(package)
        self.module = Path("package/pyfastlock", Path(module).name)
        super().__init__(folder)

    def finish(self) -> None:
        shutil.copytree(self.package, self.folder / "package/pyfastlock")

    def sources(self) -> list[str]:
        found = sorted((ROOT / "csrc").rglob("*.c"))
        return [str(path.relative_to(ROOT)) for path in found]

    def link(self, objects: list[Path]) -> None:
        (self.folder / self.module).unlink(missing_ok=True)
        run(["gcc", "-shared", "-pthread", "-o", self.module, *objects], self.folder)

    def environment(self) -> dict[str, str]:
        """What makes its interpreter import it."""
        here = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        here["MALLOC_PERTURB_"] = "165"  # what glibc allocates is not zero by chance
        return here | {"PYTHONPATH": f"{self.folder / 'package'}:{Path(__file__).parent}"}


if __name__ == "__main__":
    sys.exit("this is a part of mutate.py")
