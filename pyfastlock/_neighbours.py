"""What `patch` agrees with libraries that have a part in `threading` themselves.

*gevent* and *eventlet* replace `threading` by locks over which greenlets wait.  Ours block the
whole thread: a greenlet that waits keeps the one that would notify it from running.  If they were
first, `patch` refuses.  If they come later, they are not ours to stop, and there is a warning.

*dill* knows how to save a lock by its type, and has to be told of ours.

All three may be imported before us or after, so `patch` puts a finder on `sys.meta_path` for as
long as it is in force.  It knows the three modules by name, and lets every other import pass.  The
other ways to notice an import are worse: an audit hook can never be removed; looking from time to
time is too late; and gevent's entry points, which eventlet and dill do not have, would import us in
programs that do not want us.

Nothing is imported for these libraries.
"""

import _thread
import sys
import threading

from pyfastlock import _core

TYPE_CHECKING = False  # as in _patch.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    Any = object

_REMEDY = (
    "pyfastlock's locks block the whole thread, and {library}'s greenlets that wait for each other"
    " by them hang or miss notifications. Use one of the two: leave out pyfastlock.patch() (or"
    " python -m pyfastlock), or call pyfastlock.unpatch() before {library} patches."
)


def refuse_green_threads() -> None:
    """Raise RuntimeError if gevent or eventlet have replaced what `patch` would replace."""
    for library, module, asking, names in (
        ("gevent", "gevent.monkey", "is_module_patched", ("threading", "_thread", "thread")),
        ("eventlet", "eventlet.patcher", "is_monkey_patched", ("thread",)),
    ):
        # There is no function while the module is just being imported: it has patched nothing yet.
        is_patched = getattr(sys.modules.get(module), asking, None)
        if is_patched is not None and any(is_patched(name) for name in names):
            raise RuntimeError(
                f"{library} has patched threading already. {_REMEDY.format(library=library)}"
            )


# --- Warnings


def _warn_of(library: str) -> None:
    """Warn that `library` patches, in the name of whoever called it."""
    if not _finder.wanted:
        return
    import warnings

    level = 2
    frame = sys._getframe(1)
    while frame.f_back and _is_between(frame.f_globals.get("__name__"), library):
        frame = frame.f_back
        level += 1
    warnings.warn(
        f"{library} patches threading, which pyfastlock has patched."
        f" {_REMEDY.format(library=library)}",
        RuntimeWarning,
        stacklevel=level,
    )


def _is_between(module: object, library: str) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in ("pyfastlock", "zope", library)


class _GeventSubscriber:
    """Is told by gevent what it will patch; zope.event's list is for other events too."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __call__(self, event: Any) -> None:
        if isinstance(event, self.kind) and event.module_name in ("threading", "_thread"):  # type: ignore[attr-defined]
            _warn_of("gevent")


def _meet_gevent(events: Any) -> None:
    if not any(isinstance(subscriber, _GeventSubscriber) for subscriber in events.subscribers):
        events.subscribers.append(_GeventSubscriber(events.GeventWillPatchModuleEvent))


class _EventletModules:
    """Stands for the function that eventlet asks what to replace in `thread` and `threading`.

    eventlet publishes no event, and its `monkey_patch` may have been imported elsewhere by name.
    """

    def __init__(self, function: "Callable[[], object]") -> None:
        self.function = function

    def __call__(self) -> object:
        _warn_of("eventlet")
        return self.function()


def _meet_eventlet(patcher: Any) -> None:
    function = getattr(patcher, "_green_thread_modules", None)
    if function is None:
        import warnings

        warnings.warn(
            "pyfastlock has patched threading, and cannot see whether this version of eventlet"
            f" does. If it does: {_REMEDY.format(library='eventlet')}",
            RuntimeWarning,
            stacklevel=1,
        )
    elif not isinstance(function, _EventletModules):
        patcher._green_thread_modules = _EventletModules(function)


# --- dill


def _meet_dill(dill: Any) -> None:
    """Have our locks saved as `threading`'s, so that a process that is not patched loads them."""
    # dill's own savers, by the types that `_thread` has. What it does not save, we do not.
    save_lock = dill.Pickler.dispatch.get(_thread.LockType)
    if save_lock is not None:
        dill.register(_core.Lock)(save_lock)
    save_held_rlock = dill.Pickler.dispatch.get(_thread.RLock)
    if save_held_rlock is None:
        return

    from operator import methodcaller

    def save_rlock(pickler: Any, lock: "_core.RLock") -> None:
        # dill's makes a _thread.RLock, in a patched process too, and up to 3.13 nobody can take it.
        # That is only for a held one, of which nothing else restores the owner.
        if " count=0 " in repr(lock):
            make = methodcaller("RLock")
            pickler.save_reduce(make, (threading,), obj=lock)
        else:
            save_held_rlock(pickler, lock)

    dill.register(_core.RLock)(save_rlock)


# --- Noticing that they are imported

_MEETING: "dict[str, Callable[[Any], None]]" = {
    "gevent.events": _meet_gevent,  # imported before anything is patched
    "eventlet.patcher": _meet_eventlet,
    "dill._dill": _meet_dill,
}
"""What to do with which module when it has been imported.  Doing it again changes nothing."""


class _Loader:
    """Loads a module as its own loader does, and then meets it.

    The module itself shows its own loader.  Who only asks for the spec finds this one, which
    answers in the name of the other.
    """

    def __init__(self, loader: Any, meet: "Callable[[Any], None]") -> None:
        self._pyfastlock_loader = loader
        self._pyfastlock_meet = meet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pyfastlock_loader, name)

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        return self._pyfastlock_loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self._pyfastlock_loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._pyfastlock_loader
        self._pyfastlock_loader.exec_module(module)
        self._pyfastlock_meet(module)


class _Finder:
    """On sys.meta_path while `threading` is patched."""

    wanted = False

    def __init__(self) -> None:
        self.threads_that_look: set[int] = set()
        """Their imports of the three find nothing that is not imported."""

    def find_spec(
        self, name: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        meet = _MEETING.get(name)
        if meet is None:
            return None
        if _thread.get_ident() in self.threads_that_look:
            raise ModuleNotFoundError(f"{name} has not been imported", name=name)
        for finder in list(sys.meta_path):
            find_spec = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find_spec and find_spec(name, path, target)
            if spec is not None:
                # Without exec_module it is no loader that today's import system takes.
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, meet)  # type: ignore[assignment]
                return spec
        return None


_finder = _Finder()


def watch() -> None:
    """See from now on what is imported.  Imports nothing, and may be called again."""
    _finder.wanted = True
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def unwatch() -> None:
    """Take back `watch`; what has been met stays so, and does not warn any more."""
    _finder.wanted = False
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def meet_imported() -> None:
    """Meet what was imported, or was being imported, when `watch` was called.

    The caller holds no lock: another thread may be in the middle of such an import, and is waited
    for.
    """
    for name, meet in _MEETING.items():
        # At the end of its import a module is out of sys.modules for a moment. Its package is not.
        if sys.modules.get(name) or sys.modules.get(name.partition(".")[0]):
            module = _imported(name)
            if module is not None:
                meet(module)


def _imported(name: str) -> "ModuleType | None":
    """Return the module, waiting for another thread's import of it; None: nobody imports it."""
    from importlib import import_module

    own = _thread.get_ident()
    _finder.threads_that_look.add(own)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    finally:
        _finder.threads_that_look.discard(own)
