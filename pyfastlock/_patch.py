"""Switches `threading` over to our types, and back.

The names are replaced while `patch` is in force or while at least one `patched` block is open, in
whatever thread.  All of them change in one step, `dict.update`, so that with the GIL no thread and
no signal handler finds some of them replaced and others not.
"""

import os
import sys
import threading

from pyfastlock import _core, _neighbours

TYPE_CHECKING = False  # `typing` costs more to import than all the rest of the package
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_OURS: dict[str, object] = {
    name: getattr(_core, name)
    for name in (
        "Barrier",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "Lock",
        "RLock",
        "Semaphore",
    )
}


class _Switch:
    """What is asked for, and what there was before."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler may call any function of this module, at any moment.
        self.lock = _core.RLock()
        self.patched = False  # `patch` is in force
        # `patched` blocks that are open.  A set, because a block that fails to open does not know
        # whether it is in there: a signal handler can raise between any two steps.
        self.blocks: set[object] = set()
        self.names = vars(threading)
        self.replaced: dict[str, object] = {}  # what `unpatch` puts back
        self.settling = False

    def ask(
        self,
        *,
        patched: bool | None = None,
        opens: object = None,
        closes: object = None,
    ) -> None:
        """Note what changes, and bring `threading` to the state that is asked for now."""
        with self.lock:
            if patched is not None:
                self.patched = patched
            if opens is not None:
                self.blocks.add(opens)
            self.blocks.discard(closes)
            if self.settling:
                return  # A signal handler has interrupted the loop below, which goes on after it.
            self.settling = True
            try:
                while True:
                    wanted = self.wanted()
                    if wanted:
                        self.replace()
                    else:
                        self.restore()
                    if wanted == self.wanted():
                        break
            finally:
                self.settling = False

    def wanted(self) -> bool:
        return self.patched or bool(self.blocks)

    def replace(self) -> None:
        self.replaced.update({name: self.names[name] for name in _OURS if not self.is_ours(name)})
        # First, so that nobody finds our types while they are not the standard library's, too.
        _core._set_patched(True)
        self.names.update(_OURS)
        _neighbours.watch()

    def restore(self) -> None:
        _neighbours.unwatch()
        # What somebody else has put there meanwhile is theirs.
        self.names.update({name: old for name, old in self.replaced.items() if self.is_ours(name)})
        _core._set_patched(False)
        self.replaced.clear()

    def is_ours(self, name: str) -> bool:
        return self.names[name] is _OURS[name]


_switch = _Switch()

# A fork waits until no other thread is in `ask`.
os.register_at_fork(
    before=_switch.lock.acquire,
    after_in_parent=_switch.lock.release,
    after_in_child=_switch.lock.release,
)


def patch() -> None:
    """Replace the classes of :mod:`threading` by ours, for the whole interpreter.

    From now on ``threading.Lock``, ``RLock``, ``Condition``, ``Event``, ``Semaphore``,
    ``BoundedSemaphore`` and ``Barrier`` are pyfastlock's, for all code that looks them up there
    when it makes a lock: ``queue``, ``concurrent.futures``, ``logging``, ``threading.Thread``
    itself, and most libraries.  Calling it again does nothing but replace what somebody else has
    put under these names meanwhile.  Any thread may call it, at any time.

    It cannot reach

    - names that were imported before: after ``from threading import Lock`` a module has the
      standard library's ``Lock`` for good (:func:`unreached` finds such names);
    - locks that exist already.  They go on working, also together with ours, but they are no
      faster, and ``isinstance(event, threading.Event)`` is no longer true of the classes but
      ``Lock`` and ``RLock``;
    - what does not go through these names: ``_thread.allocate_lock``, ``queue.SimpleQueue``, the
      locks that the interpreter has inside, :mod:`multiprocessing`'s own primitives;
    - other interpreters.  A forked child is patched like its parent, but a process that is started
      afresh is not (:mod:`multiprocessing` does so with "spawn" and "forkserver"): the main module
      of the program can call this function there too.

    So call it first of all, before other imports, or run the program by ``python -m pyfastlock``,
    which does.

    Raises RuntimeError where gevent or eventlet have patched :mod:`threading` before: it is not for
    programs that they patch.  If they do later, they cause a RuntimeWarning.
    """
    _neighbours.refuse_green_threads()
    _switch.ask(patched=True)
    _neighbours.meet_imported()


def unpatch() -> None:
    """Put back into :mod:`threading` what :func:`patch` has replaced.

    A name that somebody else has changed since is left alone.  Locks of ours that exist go on
    working.  Without a preceding :func:`patch` this does nothing, and inside a :func:`patched`
    block it takes effect when the block ends.
    """
    _switch.ask(patched=False)


def patched() -> "AbstractContextManager[None]":
    """A ``with`` block, or the decorator of a function, in which :mod:`threading` is patched.

    Blocks can be nested, and overlap in several threads: the last one that ends restores what
    :func:`unpatch` would, unless :func:`patch` was called.  The names are replaced for all threads,
    not only for the one that runs the block.

    Raises RuntimeError where the block begins, as :func:`patch` does.
    """
    from contextlib import contextmanager  # here, as few programs come here

    return contextmanager(_block)()


def _block() -> "Iterator[None]":
    _neighbours.refuse_green_threads()
    block = object()
    try:
        _switch.ask(opens=block)
        _neighbours.meet_imported()
        yield
    finally:
        _switch.ask(closes=block)


def unreached() -> list[str]:
    """Return the global names that still mean what :func:`patch` has replaced, sorted.

    Each is a string such as ``"app.db.Lock"``.  It stands where a module did ``from threading
    import Lock`` too early: patch sooner, or import the module later.  Empty while
    :mod:`threading` is not patched.
    """
    from types import ModuleType

    with _switch.lock:
        old = list(_switch.replaced.values())
    found = [
        f"{module_name}.{name}"
        for module_name, module in list(sys.modules.items())
        # threading and _thread have the originals, under names that nobody is told to use.
        if isinstance(module, ModuleType)
        and module_name.partition(".")[0] not in ("threading", "_thread", "pyfastlock")
        for name, value in list(vars(module).items())
        if any(value is replaced for replaced in old)
    ]
    return sorted(found)
