"""Locks with the API of :mod:`threading`, written in C.

``Lock``, ``RLock``, ``Condition``, ``Event``, ``Semaphore``, ``BoundedSemaphore`` and ``Barrier``
do what those of the standard library do, faster, and are right in some cases where those are wrong;
docs/differences.md says which.  Importing this package changes nothing anywhere else; ``patch()``
does.
"""

from os import environ as _environ

from pyfastlock._contention import (
    Contention,
    ContentionReport,
    Place,
    WaitingCall,
    contention,
    set_name,
    start_contention,
    stop_contention,
)
from pyfastlock._core import (
    TIMEOUT_MAX,
    Barrier,
    BoundedSemaphore,
    BrokenBarrierError,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    __version__,
    cancel_dump_locks_later,
    dump_locks,
    dump_locks_later,
    get_ident,
    register,
    unregister,
)
from pyfastlock._patch import patch, patched, unpatch, unreached
from pyfastlock._waits import Deadlock, DeadlockError, Wait, deadlocks, waits

__all__ = [
    "TIMEOUT_MAX",
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Contention",
    "ContentionReport",
    "Deadlock",
    "DeadlockError",
    "Event",
    "Lock",
    "Place",
    "RLock",
    "Semaphore",
    "Wait",
    "WaitingCall",
    "__version__",
    "cancel_dump_locks_later",
    "contention",
    "deadlocks",
    "dump_locks",
    "dump_locks_later",
    "get_ident",
    "patch",
    "patched",
    "register",
    "set_name",
    "start_contention",
    "stop_contention",
    "unpatch",
    "unreached",
    "unregister",
    "waits",
]

# A look at each name: some microseconds.  What uses them is imported where one is there.
_VARIABLES = (
    "PYFASTLOCK_CONTENTION",
    "PYFASTLOCK_DEADLOCKS",
    "PYFASTLOCK_DUMP_AFTER",
    "PYFASTLOCK_DUMP_SIGNAL",
)
if any(name in _environ for name in _VARIABLES):
    from pyfastlock import _settings

    _settings.use_environment()
