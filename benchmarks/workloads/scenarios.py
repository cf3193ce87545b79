"""What an operation that needs several threads is, and how one is timed.

The scenarios themselves are in contention.py and handoffs.py.  A scenario is a function of an
implementation, a number of threads and a size that returns a Sample.  ``private_copy`` loads its
module once more, so that every implementation gets code objects, and with them inline caches, of
its own, as it does in operations.py.
"""

import importlib.util
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from workloads.implementations import Implementation
from workloads.sample import Sample, Stopwatch


def run_together(targets: Sequence[Callable[[], None]]) -> Stopwatch:
    """Run *targets* in a thread each, timed from when all are ready to when all have returned.

    The ends of the threads are not in it: without the GIL hundreds of them take their time.
    """
    barrier = threading.Barrier(len(targets) + 1)
    returned: list[None] = []
    all_returned = threading.Event()
    failures: list[BaseException] = []

    def runner(target: Callable[[], None]) -> None:
        barrier.wait()
        try:
            target()
        except BaseException as exception:
            failures.append(exception)
        returned.append(None)
        if failures or len(returned) == len(targets):
            all_returned.set()

    threads = [threading.Thread(target=runner, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    barrier.wait()
    with Stopwatch() as watch:
        all_returned.wait()
    if failures:
        raise failures[0]
    for thread in threads:
        thread.join()
    return watch


@dataclass(frozen=True)
class Scenario:
    """A named scenario.

    ``size`` is what takes a tenth of a second, very roughly; a ``scalable`` one may be run with
    more or less of it, to fill a given time.
    """

    group: str
    name: str
    module: str
    function: str
    type: str
    threads: int
    size: int
    scalable: bool = True
    fairness: bool = False
    quick: bool = False
    arguments: tuple[object, ...] = ()
    """What else the function takes."""

    series: str | None = None
    """The curve that this is a point of, and its place there; by default the number of threads."""

    x: int | None = None

    floor: str | None = None
    """The same in bare C, by its name in pthreads.c, where that makes sense."""

    def supported(self, implementation: Implementation) -> bool:
        """Whether *implementation* can do this at all."""
        return getattr(implementation, self.type) is not None

    def runner(self, implementation: Implementation) -> Callable[[int], Sample]:
        """A function of the size, with code of its own."""
        function = getattr(private_copy(self.module), self.function)
        return lambda size: function(implementation, self.threads, size, *self.arguments)


def private_copy(name: str) -> ModuleType:
    """The module of that name, loaded again."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
