"""That the patterns and the code say the same.

Each operation of a pattern stands in the functions that it cites, with the ordering that it has
there.  Each atomic operation of the code is cited, or listed in no-order.txt with a reason.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from pattern import ATOMIC, Pattern, operations

ROOT = Path(__file__).parents[2]
WRAPPERS = ("csrc/platform/atomic.h", "csrc/platform/attached.h")
NO_ORDER = Path(__file__).with_name("no-order.txt")

# PEP 7: the name of a function, or its end, stands at the beginning of a line.
FUNCTION = re.compile(
    r"^(?:[A-Z_]+\(.*\) )?(\w+)\([^;{}]*\)\n\{\n(.*?)^\}", re.DOTALL | re.MULTILINE
)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# Calls in which the kernel takes a lock, perhaps looks at a word, and releases the lock.
KERNEL = ("fl_futex_wait", "fl_futex_wake_one")
CALLS = {
    "lock": (
        "fl_bucket_lock",
        "pthread_mutex_lock",
        "fl_thread_lock_registry",
        "FL_BEGIN_CRITICAL_SECTION",
        *KERNEL,
    ),
    "unlock": (
        "fl_bucket_unlock",
        "pthread_mutex_unlock",
        "fl_thread_unlock_registry",
        "FL_END_CRITICAL_SECTION",
        *KERNEL,
    ),
}
# A compare-and-swap where the runtime has no lock.  Where it has one, that lock orders the threads.
ATTACHED = re.compile(r"\bfl_attached_swap_(?:seen_)?(acquire|release)_(u32|u64)\b")
SITE = re.compile(rf"\b(?:{ATOMIC.pattern}|__atomic_\w+|atomic_\w+_explicit)\(")

Site = tuple[str, str, str]
"""A file, a function in it, and the operation there."""


@functools.cache
def functions_of(file: str) -> dict[str, str]:
    """The bodies of the functions of a C file, without comments."""
    return {found[1]: found[2] for found in FUNCTION.finditer(_text_of(file))}


@functools.cache
def _text_of(file: str) -> str:
    text = COMMENT.sub("", (ROOT / file).read_text(encoding="utf-8"))
    return ATTACHED.sub(r"fl_cas_\1_\2", text)


@functools.cache
def _files() -> list[str]:
    paths = sorted((ROOT / "csrc").rglob("*.[ch]"))
    files = [path.relative_to(ROOT).as_posix() for path in paths]
    return [file for file in files if file not in WRAPPERS]


def sites_of_the_code() -> set[Site]:
    """All atomic operations of csrc."""
    return {
        (file, function, found[0].rstrip("("))
        for file in _files()
        for function, body in functions_of(file).items()
        for found in SITE.finditer(body)
    }


def _count_of_sites() -> int:
    """How often an operation stands in the text, also outside of what looks like a function."""
    return sum(len(SITE.findall(_text_of(file))) for file in _files())


def cited_sites(pattern: Pattern) -> set[Site]:
    return {
        (citation.file, citation.function, operation.name)
        for steps in pattern.threads().values()
        for operation in operations(steps)
        for citation in operation.citations
    }


def _wrong_citation(site: Site) -> str | None:
    file, function, operation = site
    if not (ROOT / file).is_file():
        return f"there is no {file}"
    body = functions_of(file).get(function)
    if body is None:
        return f"{file} has no function {function}"
    if operation in CALLS:
        names = CALLS[operation]
    elif ATOMIC.fullmatch(operation):
        names = (operation, *KERNEL) if operation == "fl_load_relaxed_u32" else (operation,)
    else:
        return None  # a plain access: what the code calls it is its own
    if not any(re.search(rf"\b{name}\b", body) for name in names):
        return f"{function} in {file} does not call {' or '.join(names)}"
    return None


def sites_without_order() -> dict[Site, str]:
    """What no-order.txt lists: sites, below the reason that they share."""
    listed: dict[Site, str] = {}
    for paragraph in NO_ORDER.read_text(encoding="utf-8").split("\n\n"):
        lines = paragraph.splitlines()
        reason = " ".join(line for line in lines if not line.startswith(" "))
        for line in lines:
            if line.startswith(" "):
                file, function, operation = line.split()
                listed[file, function, operation] = reason
    return listed


def what_is_wrong(patterns: list[Pattern]) -> list[str]:
    """Sentences about everything that the patterns say of the code and that is not true."""
    wrong: list[str] = []
    cited: set[Site] = set()
    for pattern in patterns:
        for site in sorted(cited_sites(pattern)):
            complaint = _wrong_citation(site)
            if complaint:
                wrong.append(f"{pattern.name} cites {site[2]}: {complaint}")
        cited |= cited_sites(pattern)
    code = sites_of_the_code()
    found = sum(
        len(SITE.findall(body))
        for file in {site[0] for site in code}
        for body in functions_of(file).values()
    )
    if found != _count_of_sites():
        wrong.append(f"{_count_of_sites()} atomic operations in csrc, {found} in known functions")
    listed = sites_without_order()
    wrong += [
        f"no pattern cites {operation} in {function}, {file}; nor does no-order.txt list it"
        for file, function, operation in sorted(code - cited - listed.keys())
    ]
    wrong += [
        f"no-order.txt: there is no {operation} in {function}, {file}"
        for file, function, operation in sorted(listed.keys() - code)
    ]
    wrong += [
        f"no-order.txt: a pattern cites {operation} in {function}, {file}"
        for file, function, operation in sorted(listed.keys() & cited)
    ]
    wrong += [f"no-order.txt: why {' '.join(site)}?" for site in sorted(listed) if not listed[site]]
    return wrong
