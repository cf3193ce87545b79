"""gevent and eventlet beside `patch()`, in either order: an error or a warning, never silence.

These tests start processes that are not patched, so that it makes no difference whether they run
patched themselves.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "gevent thread": "from gevent import monkey; monkey.patch_thread()",
    "gevent _thread": "from gevent import monkey; monkey.patch_thread(threading=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
    "eventlet thread": "import eventlet; eventlet.monkey_patch(thread=True)",
}
OTHERWISE = {
    "gevent": "from gevent import monkey; monkey.patch_socket()",
    "eventlet": "import eventlet; eventlet.monkey_patch(socket=True)",
}
PATCHING = "import pyfastlock; pyfastlock.patch()"


def run(*lines: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-E", *options, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def library_of(how: str) -> str:
    library = how.partition(" ")[0]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return library


@pytest.mark.parametrize("how", PATCHES)
def test_first_they(how: str) -> None:
    library = library_of(how)
    done = run(PATCHES[how], PATCHING)
    assert done.returncode == 1
    assert f"RuntimeError: {library} has patched threading already." in done.stderr


@pytest.mark.parametrize("how", PATCHES)
@pytest.mark.parametrize("options", [(), ("-m", "pyfastlock")])
def test_first_patch(how: str, options: tuple[str, ...]) -> None:
    library = library_of(how)
    done = run(PATCHING, PATCHES[how], options=options)
    assert f"RuntimeWarning: {library} patches threading, which" in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", PATCHES)
def test_first_patch_but_they_were_imported(how: str) -> None:
    library = library_of(how)
    imports, _, patches = PATCHES[how].partition(";")
    done = run(imports, PATCHING, patches.strip())
    # gevent takes the locks that exist for its own kind, and may raise: after the warning.
    assert f"RuntimeWarning: {library} patches threading, which" in done.stderr


@pytest.mark.parametrize("how", ["eventlet"])
def test_the_function_was_imported_by_name(how: str) -> None:
    library = library_of(how)
    done = run("from eventlet import monkey_patch", PATCHING, "monkey_patch()")
    assert f"RuntimeWarning: {library} patches threading, which" in done.stderr


@pytest.mark.parametrize("how", PATCHES)
def test_as_an_error_it_keeps_them_from_patching(how: str) -> None:
    library = library_of(how)
    done = run(
        PATCHING,
        "import warnings; warnings.simplefilter('error', RuntimeWarning)",
        PATCHES[how],
    )
    assert done.returncode == 1
    assert f"RuntimeWarning: {library} patches threading, which" in done.stderr


@pytest.mark.parametrize("how", OTHERWISE)
def test_what_they_patch_besides(how: str) -> None:
    library_of(how)
    for lines in ((PATCHING, OTHERWISE[how]), (OTHERWISE[how], PATCHING)):
        done = run(*lines)
        assert done.returncode == 0, done.stderr
        assert "RuntimeWarning" not in done.stderr


@pytest.mark.parametrize("how", ["gevent", "eventlet"])
def test_unpatch_is_a_way_out(how: str) -> None:
    library = library_of(how)
    done = run(
        PATCHING,
        "pyfastlock.unpatch()",
        PATCHES[how],
        f"import threading, {library}",
        "condition = threading.Condition()",
        "def wait():",
        "    with condition: return condition.wait(30)",
        "def wake():",
        "    with condition: condition.notify()",
        f"waiting, waking = {library}.spawn(wait), {library}.spawn(wake)",
        f"print(waiting.{'get' if library == 'gevent' else 'wait'}())",
    )
    assert done.stdout.strip() == "True", done.stderr
    assert "RuntimeWarning" not in done.stderr
