"""The parts of a release fit together.

Versions, workflows, interpreters, and the text that a package index shows.
"""

from __future__ import annotations

import importlib.util
import re
import runpy
import tomllib
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="needs the checkout, not only its tests"
)

USES = re.compile(r"^ *(?:- )?uses: (\S+)(.*)$", re.MULTILINE)
JOB = re.compile(r"^  ([a-z]+):\n((?:    .*\n|\n)+)", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def interpreters() -> list[str]:
    """The versions that pyproject.toml's classifiers name."""
    named = " ".join(project()["project"]["classifiers"])
    return re.findall(r"Python :: (3\.\d+)", named)


def jobs(path: Path) -> dict[str, str]:
    """The jobs of a workflow, by their names."""
    return dict(JOB.findall(path.read_text(encoding="utf-8").partition("\njobs:\n")[2]))


# --- The text on a package index


@pytest.fixture
def for_the_index(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    function: Callable[..., str] = runpy.run_path("setup.py")["for_the_index"]
    return function


SOURCE = "https://forge.example/pyfastlock"


@pytest.mark.parametrize(
    ("text", "shown", "without_address"),
    [
        ("[a](docs/a.md)", f"[a]({SOURCE}/blob/v1.2/docs/a.md)", "a"),
        ("[a](docs/a.md#b)", f"[a]({SOURCE}/blob/v1.2/docs/a.md#b)", "a"),
        ("[a](#b)", f"[a]({SOURCE}/blob/v1.2/README.md#b)", "a"),
        ("![a](docs/a.svg)", f"![a]({SOURCE}/raw/v1.2/docs/a.svg)", ""),
        ("[a](https://b.example/)", "[a](https://b.example/)", "[a](https://b.example/)"),
        ("`[a](b)` [c](d)", f"`[a](b)` [c]({SOURCE}/blob/v1.2/d)", "`[a](b)` c"),
        ("```\n[a](b)\n```\n", "```\n[a](b)\n```\n", "```\n[a](b)\n```\n"),
        ("a[0](1) + b", f"a[0]({SOURCE}/blob/v1.2/1) + b", "a0 + b"),
    ],
)
def test_links_are_absolute(
    for_the_index: Callable[..., str], text: str, shown: str, without_address: str
) -> None:
    assert for_the_index(text, SOURCE, "1.2") == shown
    assert for_the_index(text, None, "1.2") == without_address


def test_the_readme_has_links_and_they_lead_to_files(for_the_index: Callable[..., str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = for_the_index(readme, SOURCE, "1.2")
    files = re.findall(rf"\]\({SOURCE}/(?:blob|raw)/v1\.2/([^)#]+)", shown)
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []
    relative = check().RELATIVE
    code = check().CODE
    assert relative.findall(code.sub("", readme))
    assert not relative.findall(code.sub("", shown))
    assert not relative.findall(code.sub("", for_the_index(readme, None, "1.2")))


# --- Interpreters and processors


def test_the_interpreters_are_the_same_everywhere() -> None:
    tables = project()
    free_threaded = re.findall(
        r'"(3\.\d+)t"', (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    )
    assert free_threaded == [version for version in interpreters() if version >= "3.13"]
    wheels = tables["tool"]["cibuildwheel"]["build"].split()
    with_gil = [f"cp{version.replace('.', '')}-*" for version in interpreters()]
    # The images have no 3.13 without the GIL.
    without = [f"cp{v.replace('.', '')}t-*" for v in free_threaded if v != "3.13"]
    assert sorted(wheels) == sorted(with_gil + without)
    tested = re.search(
        r"python: \[(.*)\]", (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    )
    assert tested is not None
    assert re.findall(r'"([^"]+)"', tested.group(1)) == [
        *interpreters(),
        *(f"{version}t" for version in free_threaded),
    ]


def test_each_processor_has_a_job() -> None:
    tool = project()["tool"]["cibuildwheel"]
    wheels = (ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8")
    job = r"\{ arch: (\w+), system: (\w+)-[\w.-]+(?:, emulated: (\w+), skip: \"\*-(\w+)_\*\")? \}"
    built = re.findall(job, wheels)
    assert len(built) == len(re.findall(r"\{ arch:", wheels))
    for system, name in (("ubuntu", "linux"), ("macos", "macos")):
        assert {arch for arch, its, *_ in built if its == system} == set(tool[name]["archs"])
    # What is emulated has a job for each C library, which skips the other.
    (override,) = tool["overrides"]
    emulated = re.findall(r"\w+", override["select"])[1:]
    libraries = [("manylinux", "musllinux"), ("musllinux", "manylinux")]
    for arch in tool["linux"]["archs"] + tool["macos"]["archs"]:
        pairs = [tuple(pair) for its, _, *pair in built if its == arch]
        assert sorted(pairs) == libraries if arch in emulated else set(pairs) == {("", "")}, arch


def test_each_target_of_the_c_tests_has_a_job() -> None:
    targets = runpy.run_path(str(ROOT / "tests/c/targets.py"))["TARGETS"]
    text = (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    installed = dict(re.findall(r"\{ target: (\w+), packages: ([^}]+?) \}", text))
    assert installed == {name: target.packages for name, target in targets.items()}


# --- Workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path: Path) -> None:
    uses = USES.findall(path.read_text(encoding="utf-8"))
    assert uses
    for action, comment in uses:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_an_action_has_one_version() -> None:
    pinned = {use for path in WORKFLOWS for use in USES.findall(path.read_text(encoding="utf-8"))}
    names = [action.partition("@")[0] for action, _ in pinned]
    assert sorted(names) == sorted(set(names))


ALLOWED = {
    ("release", "publish"): {"id-token: write"},
    ("site", "publish"): {"pages: write", "id-token: write"},
}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_permissions_are_the_least(path: Path) -> None:
    assert "\npermissions: {}\n" in path.read_text(encoding="utf-8")
    assert jobs(path)
    for name, text in jobs(path).items():
        declared = re.search(r"^    permissions:\n((?:      .*\n)+)", text, re.MULTILINE)
        assert declared, name
        lines = declared.group(1).splitlines()
        permissions = {line.partition("#")[0].strip() for line in lines}
        assert permissions == ALLOWED.get((path.stem, name), {"contents: read"}), name
        assert "timeout-minutes:" in text or "uses: ./" in text, name


def test_every_goal_of_a_workflow_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    goals = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        called = " ".join(re.findall(r"\bmake ([a-z][a-z -]*)", text))
        listed = " ".join(re.findall(r"goals: \[(.*)\]", text)).replace(",", " ")
        named = {*called.split(), *listed.split()}
        assert named, path.name
        assert named <= goals, path.name


# --- What is checked before a release


def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", ROOT / "tests/release/check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("changelog", "said"),
    [
        ("## [1.2] - 2030-01-31\n\n- New.\n", "1.2, 2030-01-31"),
        ("## [1.2]\n\n- New.\n", "no date beside 1.2"),
        ("## [1.2] - 2030-01-31\n\n## [1.1] - 2029-01-31\n\n- Old.\n", "says nothing of 1.2"),
        ("## [1.1] - 2029-01-31\n\n- Old.\n", "begins with 1.1; it needs a part 1.2"),
        ("## [Unreleased]\n\n- New.\n", "CHANGELOG.md begins with Unreleased"),
        ("# Changelog\n", "no heading"),
    ],
)
def test_the_changelog_has_to_agree(changelog: str, said: str) -> None:
    module = check()
    try:
        found = module.check_changelog(changelog, "1.2", unpublished=False)
    except module.Fault as fault:
        found = str(fault)
    assert said in found


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (None, "", "complete, with 4 addresses"),
        ("Project-URL", None, "write the project's public addresses into [project.urls]"),
        ("Keywords", None, "no Keywords"),
        ("Classifier", "Typing :: Other", "classifiers"),
        ("Description-Content-Type", "text/plain", "Markdown"),
        ("", "[a](b.md)", "relative links"),
        ("", '<img src="b.svg">', "relative links"),
    ],
)
def test_the_metadata_have_to_be_complete(field: str | None, value: str | None, said: str) -> None:
    metadata = Message()
    for name in ("Summary", "Keywords", "Requires-Python", "License-Expression", "Author"):
        metadata[name] = "some"
    metadata["Classifier"] = "Typing :: Typed"
    metadata["Description-Content-Type"] = "text/markdown"
    for name in ("Source", "Documentation", "Changelog", "Issues"):
        metadata["Project-URL"] = f"{name}, {SOURCE}"
    metadata.set_payload("A text with `[code](it)` and a [link](https://other.example).")
    if field == "":
        metadata.set_payload(value)
    elif field is not None:
        del metadata[field]
        if value is not None:
            metadata[field] = value
    module = check()
    try:
        found = module.check_metadata(metadata, ["Typing :: Typed"], unpublished=False)
    except module.Fault as fault:
        found = str(fault)
    assert said in found


def test_the_citation_has_the_version() -> None:
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project()['project']['version']}\n" in cited
