"""Runs a program as the interpreter does: what ``python -m pyfastlock`` does after patching.

The program gets a ``__main__`` module, ``sys.argv`` and ``sys.path`` as if the interpreter had
been started with it.  Its exceptions leave this module as they are, and so the interpreter deals
with them: SystemExit and KeyboardInterrupt keep their exit statuses.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
from collections.abc import Callable
from types import CodeType, ModuleType, TracebackType


def module(name: str, arguments: list[str]) -> None:
    """``python -m NAME``."""
    sys.audit("cpython.run_module", name)
    _new_main()
    sys.argv[:] = ["-m", *arguments]  # until runpy knows the file
    # sys.path[0] stays: it is the folder we were started in, or nothing if that is unsafe.
    _call_program(_run_module, name)


def command(source: str, arguments: list[str]) -> None:
    """``python -c SOURCE``."""
    sys.audit("cpython.run_command", source)
    sys.argv[:] = ["-c", *arguments]
    _set_path0("")
    main = _new_main(__loader__=importlib.machinery.BuiltinImporter)
    _call_program(_run_command, source + "\n", main)


def stdin(arguments: list[str]) -> None:
    """``python -``, where the standard input is not a terminal."""
    sys.audit("cpython.run_stdin")
    sys.argv[:] = ["-", *arguments]
    _set_path0("")
    main = _new_main(__loader__=importlib.machinery.BuiltinImporter, __file__="<stdin>")
    with open(0, "rb", closefd=False) as file:
        source = file.read()
    _call_program(_run_source, source, main)


def path(script: str, arguments: list[str]) -> None:
    """``python SCRIPT``: a source file, a compiled one, or a folder or zip with a __main__."""
    sys.argv[:] = [script, *arguments]
    file = os.path.join(os.getcwd(), script)
    if pkgutil.get_importer(file) is not None:
        # Also under -P: the program is in there.
        if sys.flags.safe_path:
            sys.path.insert(0, file)
        else:
            sys.path[0] = file
        _new_main()
        _call_program(_run_module, "__main__", False)
        return

    sys.audit("cpython.run_file", file)
    try:
        with io.open_code(file) as stream:
            source = stream.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.orig_argv[0]}: can't open file {file!r}: {reason}", file=sys.stderr)
        raise SystemExit(2) from None
    _set_path0(_folder_of(script))
    if file.endswith(".pyc") or source[:2] == importlib.util.MAGIC_NUMBER[:2]:
        compiled = importlib.machinery.SourcelessFileLoader("__main__", file)
        _call_program(_run_compiled, compiled, _new_main(__loader__=compiled, __file__=file))
    else:
        loader = importlib.machinery.SourceFileLoader("__main__", file)
        _call_program(_run_source, source, _new_main(__loader__=loader, __file__=file))


def _folder_of(script: str) -> str:
    """What the interpreter puts first into sys.path for this script."""
    try:
        return os.path.dirname(os.path.realpath(script, strict=True))
    except OSError:
        # A pipe, or a file that has been removed, which the shell opened: /dev/fd/N can be read,
        # but leads to no path.
        target = os.readlink(script)
        return os.path.dirname(target if os.sep in target else script)


def _set_path0(folder: str) -> None:
    """Replace what the interpreter put first into sys.path for the sake of ``-m pyfastlock``."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _new_main(**attributes: object) -> ModuleType:
    """A fresh ``__main__`` module, with what this version of the interpreter gives it."""
    given = vars(sys.modules["__main__"])
    names: dict[str, object] = {"__builtins__": builtins}
    if "__annotations__" in given:
        names["__annotations__"] = {}
    if "__cached__" in given and "__file__" in attributes:
        names["__cached__"] = None
    main = ModuleType("__main__")
    vars(main).update(names | attributes)
    sys.modules["__main__"] = main
    return main


def _run_module(name: str, alter_argv: bool = True) -> None:
    # No other function of runpy leaves the module in sys.modules["__main__"] when it has run, for
    # threads and atexit functions.  It is what the interpreter itself calls, with these arguments.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _run_command(source: str, main: ModuleType) -> None:
    if sys.version_info >= (3, 14):
        source = textwrap.dedent(source)
    code = compile(source, "<string>", "exec", dont_inherit=True)
    # Tracebacks show the lines of the command: by code object, in 3.13.0 by file name.
    register = getattr(linecache, "_register_code", None)
    if register is not None:
        by_code = hasattr(linecache, "_interactive_cache")
        register(code if by_code else "<string>", source, "<string>")
    exec(code, vars(main))


def _run_source(source: bytes, main: ModuleType) -> None:
    assert main.__file__ is not None
    exec(compile(source, main.__file__, "exec", dont_inherit=True), vars(main))


def _run_compiled(loader: importlib.machinery.SourcelessFileLoader, main: ModuleType) -> None:
    code = loader.get_code("__main__")
    assert isinstance(code, CodeType)
    exec(code, vars(main))


def _call_program(run: Callable[..., None], *arguments: object) -> None:
    """Call `run`; let its exception pass, but see to it that it is shown without our frames."""
    try:
        run(*arguments)
    except BaseException as error:
        shown = not isinstance(error, SystemExit) or sys.flags.inspect
        if shown and hasattr(sys, "excepthook"):
            sys.excepthook = _without_our_frames(sys.excepthook, error.__traceback__)
        raise


_Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def _without_our_frames(hook: _Hook, traceback: TracebackType | None) -> _Hook:
    """An excepthook that puts back `hook` and calls it with the program's part of `traceback`.

    The interpreter calls it at once: the exception only has to pass the frames that called us,
    which it gets into its traceback on the way.
    """
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next

    def excepthook(
        kind: type[BaseException], error: BaseException, _: TracebackType | None
    ) -> None:
        sys.excepthook = hook
        sys.last_traceback = error.__traceback__ = traceback
        try:
            hook(kind, error, traceback)
        except BaseException as failure:
            # The interpreter shows it, and it is the hook's.  A bare raise adds no frame.
            if failure.__traceback__ is not None:
                failure.__traceback__ = failure.__traceback__.tb_next
            raise

    return excepthook
