"""The interpreter and the machine that the figures belong to."""

import os
import platform
import re
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from workloads import floor, implementations


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _swap_ns() -> float | None:
    """What a compare-and-swap costs here; None without a C compiler."""
    module = floor.load()
    return module.Nothing().swap_ns() if module else None


def environment() -> dict[str, Any]:
    """The interpreter and the machine that the figures belong to."""
    available = {i.name for i in implementations.available()}
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "debug_build": hasattr(sys, "gettotalrefcount"),
        "free_threaded": implementations.FREE_THREADED,
        "gil": implementations.gil_enabled(),
        "pyfastlock": _package("pyfastlock"),
        "fastrlock": _package("fastrlock") if "fastrlock" in available else None,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "compare_and_swap_ns": _swap_ns(),
    }


def title(machine: dict[str, Any]) -> str:
    """The interpreter in a few words."""
    build = " free-threaded" if machine["free_threaded"] else ""
    debug = " debug build" if machine["debug_build"] else ""
    gil = "GIL" if machine["gil"] else "no GIL"
    return f"{machine['implementation']} {machine['python']}{build}{debug} ({gil})"


def subtitle(machine: dict[str, Any]) -> str:
    """The machine in a few words."""
    return f"{machine['system']}, {machine['cores']} cores, {machine['processor']}"


def swap_cost(machine: dict[str, Any]) -> str:
    """The cost of a compare-and-swap in a few words, or nothing where it is not known."""
    cost = machine.get("compare_and_swap_ns")
    return f"A compare-and-swap takes {cost:.1f} ns on this processor." if cost else ""


def slug(machine: dict[str, Any]) -> str:
    """The interpreter in a file's name."""
    major_minor = ".".join(machine["python"].split(".")[:2])
    flags = sysconfig.get_config_var("ABIFLAGS") or ""
    return f"python{major_minor}{flags}"
