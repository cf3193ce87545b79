"""What a program is asked to do without a change of its code.

The settings are options of ``python -m pyfastlock``, and variables of the environment.  The package
reads the variables when it is imported; then the options are used, which replace them.
"""

import os

import pyfastlock
from pyfastlock import _core

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from collections.abc import Callable


class UnfitError(ValueError):
    """A value that a setting cannot have; the text says why."""


def _set_deadlocks(value: str) -> None:
    if value not in ("raise", "report", "off"):
        raise UnfitError("it is one of raise, report and off")
    _core._set_deadlocks(value)


def _set_dump_after(value: str) -> None:
    try:
        seconds = float(value)
    except ValueError:
        raise UnfitError("it is a number of seconds") from None
    _call(pyfastlock.dump_locks_later, seconds)


_registered: "list[int]" = []
"""The signal that a setting has registered, if one has."""


def _set_dump_signal(value: str) -> None:
    import signal

    if value.isascii() and value.isdigit():
        number = int(value)
    else:
        name = value.upper()
        found = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
        if not isinstance(found, signal.Signals):
            raise UnfitError("it is a signal's name, such as SIGUSR1, or its number")
        number = int(found)
    _call(pyfastlock.register, number)
    for old in _registered:
        if old != number:
            pyfastlock.unregister(old)
    _registered[:] = [number]


_report_to: "list[int | None]" = []
"""Where the contention is written at exit, if it is recorded: a file descriptor; None: stderr."""


def _set_contention(value: str) -> None:
    """Record from now on, and write the report when the program ends."""
    to_file = value != "1"
    name = value.replace("%p", str(os.getpid()))
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = os.open(name, flags, 0o666) if to_file else None
    except (OSError, ValueError) as error:  # a null character is a ValueError
        raise UnfitError(str(error)) from None
    if _report_to:
        if _report_to[0] is not None:
            os.close(_report_to[0])
        _report_to[:] = [file]
    else:
        import atexit

        _report_to.append(file)
        pyfastlock.start_contention()
        atexit.register(_write_contention, os.getpid())
    _report_form[:] = [os.path.splitext(value)[1] if to_file else ""]


_report_form: "list[str]" = []
"""The end of the file's name, which says what is written."""


def _write_contention(pid: int) -> None:
    """Write the report, unless this is a forked child, or the program has stopped the recording."""
    if os.getpid() != pid:
        return
    try:
        report = pyfastlock.stop_contention()
    except RuntimeError:
        return
    forms = {".json": report.json, ".collapsed": report.collapsed, ".folded": report.collapsed}
    text = forms.get(_report_form[0], report.__str__)()
    if text and not text.endswith("\n"):
        text += "\n"
    file = _report_to[0]
    if file is None:
        import sys

        if sys.stderr is not None:
            sys.stderr.write(text)
        return
    with open(file, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)


def _call(function: "Callable[[int], object] | Callable[[float], object]", value: float) -> None:
    try:
        function(value)  # type: ignore[arg-type]
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise UnfitError(str(error)) from None


SETTINGS: "dict[str, tuple[str, Callable[[str], None]]]" = {
    "contention": ("FILE", _set_contention),
    "deadlocks": ("raise|report|off", _set_deadlocks),
    "dump-after": ("SECONDS", _set_dump_after),
    "dump-signal": ("SIGNAL", _set_dump_signal),
}
"""What its values look like, and what sets it.  That raises UnfitError."""

WITHOUT_VALUE = {"contention": "1"}
"""Options that need no value, and which one they have then."""


def variable(name: str) -> str:
    """Return the variable of the environment for a setting."""
    return f"PYFASTLOCK_{name.replace('-', '_').upper()}"


def use_environment() -> None:
    """Set what the environment asks for.  An empty variable is as none.

    It is for the process, so interpreters other than the main one leave it.
    """
    if not _core._is_main_interpreter():
        return
    for name, (_, use) in SETTINGS.items():
        value = os.environ.get(variable(name))
        if value:
            try:
                use(value)
            except UnfitError as error:
                import warnings

                text = f"Ignoring ${variable(name)}={value!r}: {error}"
                warnings.warn(text, RuntimeWarning, stacklevel=3)


def use_options(arguments: "list[str]") -> None:
    """Remove the options at the beginning of the arguments, and set what they ask for.

    Raises UnfitError, also for an option without its value.
    """
    options = []
    while arguments and arguments[0].startswith("--"):
        name, equals, value = arguments[0][2:].partition("=")
        if name not in SETTINGS:
            break
        if not equals:
            value = WITHOUT_VALUE.get(name, "")
        if not value:
            raise UnfitError(
                f"argument expected for the --{name} option: --{name}={SETTINGS[name][0]}"
            )
        options.append((name, value))
        del arguments[0]
    for name, value in options:
        try:
            SETTINGS[name][1](value)
        except UnfitError as error:
            raise UnfitError(f"--{name}={value}: {error}") from None
