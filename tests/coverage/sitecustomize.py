"""Lies beside the package that counts its lines: children that leave by os._exit() write the
counters, too, which the C library does at the end of a program only."""

import os
import sys

_leave = os._exit


def _write_and_leave(status: int) -> None:
    core = sys.modules.get("pyfastlock._core")
    if core is not None:
        import ctypes

        ctypes.CDLL(core.__file__).pyfastlock_write_counters()
    _leave(status)


os._exit = _write_and_leave  # type: ignore[assignment]
