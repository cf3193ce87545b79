"""The reference: docstrings that are plain text, and signatures from the type stub.

The docstrings of the C code are written for help() and for editors: plain paragraphs, an argument a
line.  Here they get what a page has beyond that: fields, links, and literals.
"""

import ast
import functools
import re
from pathlib import Path
from typing import Any

import python_names
from sphinx.application import Sphinx
from sphinx.util import logging

import pyfastlock

logger = logging.getLogger(__name__)

NOT_DOCUMENTED = re.compile(
    r"\._|\.(acquire_lock|locked_lock|release_lock|notifyAll|isSet)$|^threading.BoundedSemaphore\."
)
"""Names that the standard library has, and its documentation has not."""

ARGUMENT = re.compile(r"([a-z]\w*): +(.*)")
EXCEPTION = re.compile(r"(?<![`\w.])\w+(?:Error|Warning)\b")
TOKEN = re.compile(
    r"""(?P<standard>\b(?:threading|object)\.[\w.]*\w)
      | (?P<call>\b\w+\(\))
      | (?P<literal>\b\w+=\w+\b|\b2\*\*\d+\ -\ 1\b|(?<!\S)-1\b|\b(?:None|True|False|NaN)\b|\b_\w+)
      | (?P<name>\b[A-Z]\w+\b)
      | (?P<special>[\\`*|])""",
    re.VERBOSE,
)


def linked(text: str, path: list[str]) -> str:
    """*text* as reST.  *path* is what it documents, such as ["pyfastlock", "Lock", "acquire"]."""

    def replacement(match: re.Match[str]) -> str:
        token = match.group()
        match match.lastgroup:
            case "call":
                return call(token.removesuffix("()"))
            case "name" if token in pyfastlock.__all__:
                return f":py:obj:`{token} <pyfastlock.{token}>`"
            case "standard" | "name" if token in python_names.names():
                return f":py:obj:`{token}`"
            case "name" if not token.endswith("Error"):
                return token
            case "special":
                return "\\" + token
            case "standard" | "name" if not NOT_DOCUMENTED.search(token):
                logger.warning("%s is not in python_names.txt", token)
        return f"``{token}``"

    def call(name: str) -> str:
        owner = getattr(pyfastlock, path[1])
        target = f"pyfastlock.{path[1]}.{name}"
        if hasattr(owner, name) and not name.startswith("_") and target != ".".join(path):
            return f":py:meth:`{name}() <{target}>`"
        return f"``{name}()``"

    return TOKEN.sub(replacement, text)


def arguments(lines: list[str]) -> list[tuple[str, str]]:
    """The names and descriptions of a paragraph that describes arguments; else nothing."""
    found: list[tuple[str, str]] = []
    for line in lines:
        match = ARGUMENT.fullmatch(line)
        if match:
            found.append((match[1], match[2]))
        elif found and line.startswith("  "):
            name, description = found[-1]
            found[-1] = (name, f"{description} {line.strip()}")
        else:
            return []
    return found


def as_rest(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a plain docstring into reST.  Those of the package's Python code are reST already."""
    path = name.split(".")
    if getattr(obj, "__module__", None) == "pyfastlock._patch":
        lines[:] = [EXCEPTION.sub(r":py:exc:`\g<0>`", line) for line in lines]
        return
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip())
    lines.clear()
    for paragraph in paragraphs:
        described = arguments(paragraph.splitlines())
        for argument, description in described:
            lines.append(f":param {argument}: {linked(description, path)}")
        if not described:
            lines.append(linked(paragraph.replace("\n", " "), path))
        lines.append("")


@functools.cache
def stub() -> dict[str, ast.FunctionDef]:
    """The functions of the type stub, as `Class.method`."""
    text = Path(pyfastlock.__file__).with_name("_core.pyi").read_text(encoding="utf-8")
    return {
        f"{owner.name}.{function.name}": function
        for owner in ast.parse(text).body
        if isinstance(owner, ast.ClassDef)
        for function in owner.body
        if isinstance(function, ast.FunctionDef)
    }


def annotation(node: ast.expr | None) -> str | None:
    """The type, or None where the reader could not look it up."""
    text = ast.unparse(node) if node else "_"
    return None if re.search(r"\b_", text) else text.replace("Callable", "collections.abc.Callable")


def signature(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    plain: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """The signature with types, which C code has not."""
    path = name.removeprefix("pyfastlock.")
    if path == "patched":
        return "()", "contextlib.AbstractContextManager[None]"
    if path == "contention":
        return "()", "contextlib.AbstractContextManager[pyfastlock.ContentionReport]"
    if what not in ("class", "method") or path == "Wait":
        return None  # Python code has its own
    name = path + (".__init__" if what == "class" else "")
    function = stub().get(name) or stub().get(name.replace("Bounded", ""))
    if function is None:
        return "()", None  # a class without an __init__
    given = function.args.args[1:]
    defaults = [None] * (len(given) - len(function.args.defaults)) + function.args.defaults
    shown = []
    for argument, default in zip(given, defaults, strict=True):
        kind = annotation(argument.annotation)
        text = argument.arg + (f": {kind}" if kind else "")
        if default is not None:
            text += (" = " if kind else "=") + ast.unparse(default)
        shown.append(text)
    result = annotation(function.returns) if what != "class" else None
    return f"({', '.join(shown)})", result


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", as_rest)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
