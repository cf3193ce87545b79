"""The project as a package: what is installed, what the archives hold, and how a build refuses."""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

import pyfastlock
from pyfastlock import _core

ROOT = Path(__file__).resolve().parents[2]

in_a_checkout = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="needs the checkout, not only its tests"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout that a build may write to."""
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=ignored))


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python COMMAND...` in `cwd`."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )


# --- What is installed


def test_the_installed_package_is_tested() -> None:
    installed = metadata.distribution("pyfastlock").locate_file("pyfastlock")
    assert Path(pyfastlock.__file__).parent == Path(str(installed))
    assert _core.__file__ is not None
    assert Path(_core.__file__).parent == Path(str(installed))


def test_the_version_is_the_same_everywhere() -> None:
    assert pyfastlock.__version__ == metadata.version("pyfastlock")


def test_nothing_else_is_needed_to_run() -> None:
    requirements = metadata.requires("pyfastlock") or []
    assert [r for r in requirements if "extra ==" not in r] == []


def test_types_and_licence_are_installed() -> None:
    names = {str(file) for file in metadata.files("pyfastlock") or ()}
    assert {"pyfastlock/py.typed", "pyfastlock/_core.pyi"} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any(name.endswith((".c", ".h")) for name in names)


# --- What the sources say


@in_a_checkout
@pytest.mark.parametrize("dev", ["0", "1"])
def test_warnings_are_errors_for_developers_only(monkeypatch: pytest.MonkeyPatch, dev: str) -> None:
    given: dict[str, object] = {}
    monkeypatch.setenv("PYFASTLOCK_DEV", dev)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("setuptools.setup", given.update)
    runpy.run_path("setup.py")
    (extension,) = given["ext_modules"]
    assert ("-Werror" in extension.extra_compile_args) == (dev == "1")
    assert ("-UNDEBUG" in extension.extra_compile_args) == (dev == "1")


@in_a_checkout
def test_the_sdist_holds_every_source(checkout: Path, tmp_path: Path) -> None:
    built = run("-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), cwd=checkout)
    assert built.returncode == 0, built.stdout
    (archive,) = tmp_path.glob("pyfastlock-*.tar.gz")
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {
        str(path.relative_to(ROOT))
        for folder in ("csrc", "pyfastlock", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".c", ".h", ".py", ".pyi", ".md"} and "build" not in path.parts
    }
    assert wanted - held == set()
    assert {"LICENSE", "Makefile", "CHANGELOG.md", "tests/c/Makefile"} <= held


@in_a_checkout
def test_every_c_file_is_built(checkout: Path) -> None:
    listed = (checkout / "setup.py").read_text()
    files = [str(path.relative_to(checkout)) for path in (checkout / "csrc").rglob("*.c")]
    assert [file for file in files if f'"{file}"' not in listed] == []


# --- A build that is not possible: one sentence says why


def refusal(reason: str) -> str:
    return f"error: pyfastlock cannot be built here: {reason}."


def compiler_without(header: str, folder: Path) -> str:
    """A compiler that works, but does not find `header`."""
    real = shlex.split(sysconfig.get_config_var("CC"))[0]
    script = folder / f"cc-without-{header}"
    script.write_text(
        "#!/bin/sh\n"
        "for argument; do case $argument in *.c)\n"
        f'  if grep -q "<{header}>" "$argument"; then exit 1; fi ;;\n'
        "esac; done\n"
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


@in_a_checkout
@pytest.mark.parametrize("compiler", ["/nonexistent/cc", "false"])
def test_build_without_a_compiler(checkout: Path, compiler: str) -> None:
    built = run("setup.py", "build_ext", cwd=checkout, CC=compiler)
    assert built.returncode != 0
    reason = f"there is no working C11 compiler ({compiler} was tried)"
    assert last_line(built.stdout) == refusal(reason)


@in_a_checkout
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("pthread.h", "the platform has no POSIX threads"),
        ("Python.h", "Python.h is missing (it is in a package such as python3-dev)"),
        (
            "stdatomic.h",
            "the processor has no 64-bit compare-and-swap, and libatomic is missing",
        ),
    ],
)
def test_build_without_a_header(checkout: Path, tmp_path: Path, header: str, reason: str) -> None:
    compiler = compiler_without(header, tmp_path)
    built = run("setup.py", "build_ext", cwd=checkout, CC=compiler)
    assert built.returncode != 0
    assert last_line(built.stdout) == refusal(reason)


@in_a_checkout
def test_libatomic_is_linked_where_the_processor_needs_it(checkout: Path, tmp_path: Path) -> None:
    """With a compiler that finds a compare-and-swap in libatomic only, and compiles nothing."""
    real = shlex.split(sysconfig.get_config_var("CC"))[0]
    compiler = tmp_path / "cc-with-libatomic"
    needy, last = tmp_path / "needy", tmp_path / "last"
    compiler.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >{last}\n'
        "for argument; do case $argument in *.c)\n"
        f'  rm -f {needy}; if grep -q atomic_compare_exchange "$argument"; then touch {needy}; fi\n'
        '  while [ "$1" != -o ]; do shift; done\n'
        '  echo "__attribute__((weak)) int main(void) { return 0; }" |\n'
        f'    {real} -fPIC -x c -c - -o "$2"; exit ;;\n'
        "esac; done\n"
        f'case "$*" in *-latomic*) exec {real} "$@";; esac\n'
        f"if [ -e {needy} ]; then exit 1; fi\n"
        f'exec {real} "$@"\n'
    )
    compiler.chmod(0o755)
    built = run(
        "setup.py", "build_ext", cwd=checkout, CC=str(compiler), LDSHARED=f"{compiler} -shared"
    )
    assert built.returncode == 0, built.stdout
    assert "-latomic" in last.read_text().split()


@in_a_checkout
@pytest.mark.parametrize(
    ("pretence", "reason"),
    [
        (
            "sys.platform = 'win32'; os.name = 'nt'",
            "it needs POSIX threads, and this platform is win32",
        ),
        ("sys.implementation.name = 'pypy'", "it is made for CPython, and this is pypy"),
    ],
)
def test_build_on_a_foreign_platform(checkout: Path, pretence: str, reason: str) -> None:
    # Only what build_ext itself does has to be deceived: setuptools is imported before.
    script = (
        "import os, sys, runpy, setuptools.command.build_ext\n"
        "sys.argv = ['setup.py', 'build_ext']\n"
        "from setuptools.command.build_ext import build_ext\n"
        "finalize = build_ext.finalize_options\n"
        f"def pretend(self): finalize(self); {pretence}\n"
        "build_ext.finalize_options = pretend\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    built = run("-c", script, cwd=checkout)
    assert built.returncode != 0
    assert last_line(built.stdout) == refusal(reason)


@in_a_checkout
def test_pip_shows_the_sentence(checkout: Path, tmp_path: Path) -> None:
    install = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    target = tmp_path / "target"
    installed = run(*install, "--target", str(target), ".", cwd=checkout, CC="/nonexistent/cc")
    assert installed.returncode != 0
    reason = "there is no working C11 compiler (/nonexistent/cc was tried)"
    assert refusal(reason) in installed.stdout
    assert not target.exists()
