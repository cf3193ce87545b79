"""Planted bugs: each is one change of the core that the explorer has to find."""

from bug import Bug
from bugs_of_deadlocks import DEADLOCK_BUGS
from bugs_of_locks import LOCK_BUGS
from bugs_of_the_runtime import RUNTIME_BUGS
from bugs_of_waits import WAITS

BUGS: list[Bug] = [*LOCK_BUGS, *WAITS, *DEADLOCK_BUGS, *RUNTIME_BUGS]
