"""The project as a package: what is installed, what the archives hold, and how a build refuses."""

from __future__ import annotations

import ast
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
    built = ("build", "dist", "*.egg-info", "__pycache__", ".*_cache")
    ignored = shutil.ignore_patterns(".git", *built)
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
    assert {"CITATION.cff", "SECURITY.md", ".github/workflows/release.yml"} <= held


@in_a_checkout
@pytest.mark.parametrize(
    ("variable", "value", "left_out"),
    [("CFLAGS", "", True), ("CFLAGS", "-O2 -g", False), ("CC", "gcc -g3", False)],
)
def test_debug_information_is_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, left_out: bool
) -> None:
    given: dict[str, object] = {}
    for name in ("CC", "CFLAGS", "PYFASTLOCK_DEV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("setuptools.setup", given.update)
    runpy.run_path("setup.py")
    (extension,) = given["ext_modules"]
    assert ("-Wl,-S" in extension.extra_link_args) == left_out


@in_a_checkout
def test_two_sdists_are_equal(checkout: Path, tmp_path: Path) -> None:
    other = shutil.copytree(checkout, tmp_path / "a folder elsewhere", copy_function=shutil.copy)
    contents = []
    for place in (checkout, Path(other)):
        out = str(place / "dist")
        build = ("-m", "build", "--sdist", "--no-isolation", "--outdir", out)
        built = run(*build, cwd=place, SOURCE_DATE_EPOCH="1700000000")
        assert built.returncode == 0, built.stdout
        (archive,) = (place / "dist").glob("*.tar.gz")
        contents.append(archive.read_bytes())
        with tarfile.open(archive) as tar:
            assert {member.mtime for member in tar.getmembers()} == {1700000000}
    assert contents[0] == contents[1]


@in_a_checkout
def test_every_c_file_is_built(checkout: Path) -> None:
    listed = (checkout / "setup.py").read_text()
    files = [str(path.relative_to(checkout)) for path in (checkout / "csrc").rglob("*.c")]
    assert [file for file in files if f'"{file}"' not in listed] == []


# --- A build that is not possible: one sentence says why


def refusal(reason: str) -> str:
    return f"error: pyfastlock cannot be built here: {reason}."


NO_COMPILER = (
    "there is no working C11 compiler ({} was tried); install gcc or clang, "
    "or name one in the environment variable CC"
)


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
    reason = NO_COMPILER.format(compiler)
    assert last_line(built.stdout) == refusal(reason)


@in_a_checkout
@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            "pthread.h",
            "the platform has no POSIX threads (pthread.h); install the C library's headers",
        ),
        (
            "Python.h",
            (
                "Python.h is missing; install the interpreter's headers, "
                "from a package such as python3-dev or python3-devel"
            ),
        ),
        (
            "stdatomic.h",
            (
                "the processor has no 64-bit compare-and-swap, and libatomic is missing; "
                "install it, from a package such as libatomic1 or libatomic"
            ),
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
            "it needs POSIX threads, and this platform is win32; use threading's locks, or WSL",
        ),
        (
            "sys.implementation.name = 'pypy'",
            "it is made for CPython, and this is pypy; use threading's locks there",
        ),
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
def test_build_with_an_old_python(checkout: Path) -> None:
    script = (
        "import sys, runpy, setuptools\n"
        "sys.version_info = (3, 10, 13, 'final', 0)\n"
        "sys.modules['tomllib'] = None\n"
        "sys.argv = ['setup.py', 'build_ext']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    built = run("-c", script, cwd=checkout)
    assert built.returncode != 0
    assert last_line(built.stdout) == refusal("this is Python 3.10.13; use 3.11 or newer")


@in_a_checkout
def test_an_old_python_can_read_setup_py() -> None:
    """From 3.13 on the parser lets parentheses in a with statement pass; 3.11 and 3.12 do not."""
    ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"), feature_version=(3, 8))


@in_a_checkout
def test_build_with_old_setuptools(checkout: Path, tmp_path: Path) -> None:
    script = (
        "import sys, runpy, setuptools\n"
        "setuptools.__version__ = '50.3.2'\n"
        "sys.modules['setuptools.errors'] = None\n"
        "sys.argv = ['setup.py', 'build_ext']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    built = run("-c", script, cwd=checkout)
    assert built.returncode != 0
    update = f"{sys.executable} -m pip install 'setuptools>=77'"
    reason = f"setuptools 50.3.2 is too old; update it by {update}"
    assert last_line(built.stdout) == refusal(reason)


@in_a_checkout
def test_pip_shows_the_sentence(checkout: Path, tmp_path: Path) -> None:
    install = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    target = tmp_path / "target"
    installed = run(*install, "--target", str(target), ".", cwd=checkout, CC="/nonexistent/cc")
    assert installed.returncode != 0
    reason = NO_COMPILER.format("/nonexistent/cc")
    assert refusal(reason) in installed.stdout
    assert not target.exists()
