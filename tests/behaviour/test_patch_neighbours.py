"""`patch` beside gevent, eventlet and dill, which have a part in `threading` themselves.

Here small modules stand in for the three, with the functions that ours knows.  The real ones are
tested by `make test-packages`.
"""

from __future__ import annotations

import _thread
import importlib
import importlib.util
import pickle
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import start, wait_until

import pyfastlock
from pyfastlock import _neighbours

STAND_INS = {
    "gevent/__init__.py": "",
    "gevent/events.py": """
        subscribers = []
        class Event:
            pass
        class GeventWillPatchModuleEvent:
            def __init__(self, module_name):
                self.module_name = module_name
        def notify(event):
            for subscriber in subscribers:
                subscriber(event)
        """,
    "gevent/monkey.py": """
        saved = {}
        def is_module_patched(name):
            return name in saved
        def _patch(name):
            from gevent import events
            events.notify(events.Event())
            events.notify(events.GeventWillPatchModuleEvent(name))
            saved[name] = {}
        def patch_all():
            _patch("_thread")
            _patch("threading")
        def patch_thread(threading):
            _patch("_thread")
        def patch_socket():
            _patch("socket")
        """,
    "eventlet/__init__.py": "from eventlet.patcher import monkey_patch",
    "eventlet/patcher.py": """
        already_patched = {}
        def is_monkey_patched(name):
            return name in already_patched
        def _green_thread_modules():
            return ["_thread", "threading"]
        def monkey_patch(thread=True):
            if thread:
                assert _green_thread_modules() == ["_thread", "threading"]
                already_patched["thread"] = True
            already_patched["socket"] = True
        """,
    "dill/__init__.py": "from dill._dill import Pickler, register",
    "dill/_dill.py": """
        import _thread
        class Pickler:
            dispatch = {}
        def register(type):
            def proxy(function):
                Pickler.dispatch[type] = function
                return function
            return proxy
        @register(_thread.LockType)
        def save_lock(pickler, obj):
            pickler.append(("lock", obj))
        @register(_thread.RLock)
        def save_rlock(pickler, obj):
            pickler.append(("held", obj))
        """,
}


def remove_stand_ins() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in ("gevent", "eventlet", "dill"):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in STAND_INS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    remove_stand_ins()
    before = list(sys.meta_path)
    yield tmp_path
    pyfastlock.unpatch()
    remove_stand_ins()
    for path in [path for path in sys.path_importer_cache if path.startswith(str(tmp_path))]:
        del sys.path_importer_cache[path]  # it would keep the folder of each test
    assert sys.meta_path == before


def gevent_patches() -> None:
    importlib.import_module("gevent.monkey").patch_all()


def gevent_patches_thread_only() -> None:
    importlib.import_module("gevent.monkey").patch_thread(threading=False)


def eventlet_patches() -> None:
    importlib.import_module("eventlet").monkey_patch()


green_threads = pytest.mark.parametrize(
    ("library", "patches"),
    [
        ("gevent", gevent_patches),
        ("gevent", gevent_patches_thread_only),
        ("eventlet", eventlet_patches),
    ],
)


# --- They are first


@green_threads
def test_t43_patch_refuses(library: str, patches: Callable[[], None]) -> None:
    patches()
    before = dict(vars(threading))
    with pytest.raises(RuntimeError, match=f"{library} has patched threading already.*unpatch"):
        pyfastlock.patch()
    with pytest.raises(RuntimeError, match=f"{library} has patched threading already"):
        with pyfastlock.patched():
            pass  # pragma: no cover
    assert vars(threading) == before


def test_t43_what_they_patch_besides_is_no_reason_to_refuse() -> None:
    importlib.import_module("gevent.monkey").patch_socket()
    importlib.import_module("eventlet").monkey_patch(thread=False)
    pyfastlock.patch()
    assert threading.Lock is pyfastlock.Lock


# --- They come later


@pytest.mark.parametrize("order", ["imported before", "imported after"])
@green_threads
def test_t43_a_warning(library: str, patches: Callable[[], None], order: str) -> None:
    if order == "imported before":
        importlib.import_module("gevent.monkey")
        importlib.import_module("eventlet")
    pyfastlock.patch()
    with pytest.warns(RuntimeWarning, match=f"{library} patches threading, which.*unpatch") as told:
        patches()
    assert {warning.filename for warning in told} == {__file__}


@green_threads
def test_a_warning_that_is_an_error_comes_before(library: str, patches: Callable[[], None]) -> None:
    pyfastlock.patch()
    with pytest.raises(RuntimeWarning, match=library):  # as pyproject.toml makes errors of them
        patches()
    pyfastlock.patch()  # and so it does not refuse


def test_no_warning_of_what_else_they_patch() -> None:
    pyfastlock.patch()
    importlib.import_module("gevent.monkey").patch_socket()
    importlib.import_module("eventlet").monkey_patch(thread=False)


@green_threads
def test_no_warning_after_unpatch(library: str, patches: Callable[[], None]) -> None:
    importlib.import_module(f"{library}")
    pyfastlock.patch()
    importlib.import_module("gevent.events")
    pyfastlock.unpatch()
    patches()


@green_threads
def test_a_warning_in_a_block(library: str, patches: Callable[[], None]) -> None:
    with pyfastlock.patched():
        with pytest.warns(RuntimeWarning, match=library):
            patches()


def test_they_are_met_once() -> None:
    importlib.import_module("eventlet")
    events = importlib.import_module("gevent.events")
    pyfastlock.patch()
    pyfastlock.patch()
    pyfastlock.unpatch()
    pyfastlock.patch()
    assert len(events.subscribers) == 1
    with pytest.warns(RuntimeWarning) as told:
        eventlet_patches()
    assert len(told) == 1


def test_an_eventlet_that_we_do_not_know(stand_ins: Path) -> None:
    (stand_ins / "eventlet/patcher.py").write_text("def monkey_patch(): pass")
    pyfastlock.patch()
    with pytest.warns(RuntimeWarning, match="cannot see whether this version of eventlet does"):
        importlib.import_module("eventlet")


# --- The finder


def test_it_is_there_while_patched() -> None:
    before = list(sys.meta_path)
    pyfastlock.patch()
    pyfastlock.patch()
    with pyfastlock.patched():
        assert sys.meta_path == [_neighbours._finder, *before]
        pyfastlock.unpatch()
        assert sys.meta_path == [_neighbours._finder, *before]
    assert sys.meta_path == before


def test_somebody_else_has_removed_it() -> None:
    pyfastlock.patch()
    sys.meta_path.remove(_neighbours._finder)
    pyfastlock.unpatch()


@pytest.mark.parametrize("name", ["gevent.events", "eventlet.patcher", "dill._dill"])
def test_a_module_is_as_without_us(name: str) -> None:
    plain = importlib.import_module(name)
    expected = (type(plain.__loader__), plain.__spec__, plain.__file__)
    remove_stand_ins()
    pyfastlock.patch()
    module = importlib.import_module(name)
    assert (type(module.__loader__), module.__spec__, module.__file__) == expected
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    importlib.reload(module)
    assert module.__spec__.loader is module.__loader__


def test_a_spec_that_is_only_asked_for() -> None:
    pyfastlock.patch()
    importlib.import_module("dill")
    del sys.modules["dill._dill"]
    spec: Any = importlib.util.find_spec("dill._dill")
    assert spec.loader.get_filename("dill._dill") == spec.origin
    assert "class Pickler" in spec.loader.get_source("dill._dill")
    assert importlib.util.find_spec("gevent.nothing") is None


@pytest.mark.parametrize("name", ["gevent.events", "eventlet.patcher", "dill._dill"])
def test_a_module_that_is_not_there(name: str, stand_ins: Path) -> None:
    (stand_ins / (name.replace(".", "/") + ".py")).unlink()
    (stand_ins / name.partition(".")[0] / "__init__.py").write_text("")
    pyfastlock.patch()
    with pytest.raises(ModuleNotFoundError, match=name):
        importlib.import_module(name)


def test_a_module_that_fails(stand_ins: Path) -> None:
    (stand_ins / "dill/_dill.py").write_text("1 / 0")
    pyfastlock.patch()
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("dill")


def test_an_import_that_has_begun_in_another_thread(stand_ins: Path) -> None:
    with (stand_ins / "dill/_dill.py").open("a") as file:
        file.write("\nlater = type('Pickler', (), {'dispatch': dict(Pickler.dispatch)})\n")
        file.write("import builtins\nbuiltins.half_way.set()\nbuiltins.go_on.wait(60)\n")
        file.write("Pickler = later\n")
    half_way, go_on = threading.Event(), threading.Event()
    import builtins

    names = vars(builtins)
    names.update(half_way=half_way, go_on=go_on)
    try:
        importing = start(importlib.import_module, "dill")
        assert half_way.wait(60)
        patching = start(pyfastlock.patch)
        wait_until(lambda: threading.Lock is pyfastlock.Lock)
        go_on.set()
        importing.join(60)
        patching.join(60)
    finally:
        del names["half_way"], names["go_on"]
    assert pyfastlock.Lock in sys.modules["dill._dill"].Pickler.dispatch


# --- dill


@pytest.mark.parametrize("order", ["imported before", "imported after"])
def test_dill_knows_our_locks(order: str) -> None:
    if order == "imported before":
        importlib.import_module("dill")
    pyfastlock.patch()
    dispatch = importlib.import_module("dill").Pickler.dispatch
    pyfastlock.patch()

    saved: list[tuple[str, object]] = []
    lock = threading.Lock()
    dispatch[pyfastlock.Lock](saved, lock)
    held = threading.RLock()
    with held:
        dispatch[pyfastlock.RLock](saved, held)
    assert saved == [("lock", lock), ("held", held)]

    class Reductions:
        def save_reduce(self, function: Callable[..., object], args: Any, obj: object) -> None:
            assert obj is held
            function = pickle.loads(pickle.dumps(function))
            assert type(function(*args)) is pyfastlock.RLock
            pyfastlock.unpatch()
            assert type(function(*args)) is _thread.RLock

    dispatch[pyfastlock.RLock](Reductions(), held)


def test_a_dill_that_does_not_save_locks(stand_ins: Path) -> None:
    text = (stand_ins / "dill/_dill.py").read_text()
    (stand_ins / "dill/_dill.py").write_text(text.partition("@register(")[0])
    pyfastlock.patch()
    assert importlib.import_module("dill").Pickler.dispatch == {}


def test_warnings_of_users_are_not_filtered() -> None:
    """By default a warning is shown once for each line that causes it."""
    pyfastlock.patch()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        gevent_patches()
        gevent_patches()
    assert len(told) == 1


class _SlowModules(dict[str, Any]):
    """Stands for sys.modules: the import system takes a module out at the end, and puts it back."""

    def __init__(self, slow: str) -> None:
        super().__init__(sys.modules)
        self.slow = slow
        self.is_out, self.go_on = threading.Event(), threading.Event()

    def pop(self, name: str, *default: Any) -> Any:  # type: ignore[override]
        module = super().pop(name, *default)
        if name == self.slow and default == ():
            self.is_out.set()
            assert self.go_on.wait(60)
        return module


def test_an_import_that_is_about_to_end(stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = _SlowModules("dill._dill")
    monkeypatch.setattr(sys, "modules", modules)
    importing = start(importlib.import_module, "dill")
    assert modules.is_out.wait(60)
    assert "dill._dill" not in modules
    patching = start(pyfastlock.patch)
    wait_until(lambda: threading.Lock is pyfastlock.Lock)
    modules.go_on.set()
    importing.join(60)
    patching.join(60)
    assert pyfastlock.Lock in modules["dill._dill"].Pickler.dispatch


def test_a_package_without_the_module(stand_ins: Path) -> None:
    """To meet what is imported imports nothing."""
    (stand_ins / "dill/__init__.py").write_text("")
    importlib.import_module("dill")
    pyfastlock.patch()
    assert "dill._dill" not in sys.modules
    importlib.import_module("dill._dill")
    assert pyfastlock.Lock in sys.modules["dill._dill"].Pickler.dispatch
