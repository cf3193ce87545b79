"""The docstrings of the C code in pyfastlock/_core.pyi, where editors look for them.

    python tests/helpers/stub_docstrings.py pyfastlock/_core.pyi

puts those of the module that is installed into the file.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

from pyfastlock import _core

Documented = ast.ClassDef | ast.FunctionDef


def documented(tree: ast.Module) -> Iterator[tuple[Documented, str]]:
    """The classes, methods and functions of a stub, with the docstrings of what they stand for."""
    for node in tree.body:
        if not isinstance(node, Documented) or not hasattr(_core, node.name):
            continue
        value = getattr(_core, node.name)
        if value is getattr(threading, node.name, None) or node.name == "_LockMeta":
            continue
        yield node, inspect.getdoc(value) or ""
        if not isinstance(node, ast.ClassDef):
            continue
        for method in node.body:
            # Of __init__ the interpreter only says that the class has the signature.
            if isinstance(method, ast.FunctionDef) and method.name != "__init__":
                yield method, inspect.getdoc(vars(value).get(method.name)) or ""


def literal(text: str, indent: str) -> str:
    """A docstring as source text, without the indentation of its first line."""
    end = "\n" if "\n" in text else ""
    return textwrap.indent(f'"""{text}{end}"""', indent).lstrip()


def with_docstrings(stub: str) -> str:
    """The text of a stub, with all docstrings."""
    lines = stub.splitlines(keepends=True)
    # From the end, as line numbers must stay true.
    for node, text in sorted(documented(ast.parse(stub)), key=lambda found: -found[0].lineno):
        first, indent = node.body[0], " " * (node.col_offset + 4)
        replaced = ast.get_docstring(node, clean=False) is not None or (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and first.value.value is ...
        )
        assert first.end_lineno is not None
        begin = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))]) - 1
        before = lines[begin][: first.col_offset].rstrip() if replaced else ""
        after = lines[first.end_lineno if replaced else begin :]
        lines[begin:] = [
            *([f"{before}\n"] if before else []),
            f"{indent}{literal(text, indent)}\n",
            *after,
        ]
    return "".join(lines)


def main() -> None:
    path = Path(sys.argv[1])
    path.write_text(with_docstrings(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
