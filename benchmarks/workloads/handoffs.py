"""Threads that hand something on: a turn, an item, a broadcast, a round of a barrier."""

from collections import deque

from workloads.contention import waiting
from workloads.implementations import Implementation
from workloads.sample import Sample
from workloads.scenarios import Scenario, run_together

CAPACITY = 16
"""Items in the bounded queue of the producers and consumers."""


def ping_pong_condition(implementation: Implementation, _threads: int, size: int) -> Sample:
    """Two threads hand a turn to each other through a Condition, *size* times in all."""
    condition = implementation.Condition()
    turn = 0
    rounds = max(1, size // 2)

    def player(me: int) -> None:
        nonlocal turn
        other = 1 - me
        for _ in range(rounds):
            with condition:
                while turn != me:
                    condition.wait()
                turn = other
                condition.notify()

    watch = run_together([lambda: player(0), lambda: player(1)])
    return watch.sample(2 * rounds)


def ping_pong_locks(
    implementation: Implementation, _threads: int, size: int, pairs: int = 1
) -> Sample:
    """Two threads wake each other through two Locks, or in turn through many pairs of them."""
    locks = [(implementation.Lock(), implementation.Lock()) for _ in range(pairs)]  # type: ignore[misc]
    for lock in locks:
        lock[0].acquire()
        lock[1].acquire()
    laps = max(1, size // (2 * pairs))

    def player(me: int) -> None:
        for _ in range(laps):
            for lock in locks:
                if me == 0:
                    lock[1].release()
                    lock[0].acquire()
                else:
                    lock[1].acquire()
                    lock[0].release()

    watch = run_together([lambda: player(0), lambda: player(1)])
    return watch.sample(2 * laps * pairs)


def ping_pong_events(implementation: Implementation, _threads: int, size: int) -> Sample:
    """Two threads wake each other through two Events, *size* times in all."""
    events = (implementation.Event(), implementation.Event())  # type: ignore[misc]
    events[0].set()
    rounds = max(1, size // 2)

    def player(me: int) -> None:
        mine, yours = events[me], events[1 - me]
        for _ in range(rounds):
            mine.wait()
            mine.clear()
            yours.set()

    watch = run_together([lambda: player(0), lambda: player(1)])
    return watch.sample(2 * rounds)


def ping_pong_semaphores(implementation: Implementation, _threads: int, size: int) -> Sample:
    """Two threads wake each other through two Semaphores, *size* times in all."""
    semaphores = (implementation.Semaphore(1), implementation.Semaphore(0))  # type: ignore[misc]
    rounds = max(1, size // 2)

    def player(me: int) -> None:
        mine, yours = semaphores[me], semaphores[1 - me]
        for _ in range(rounds):
            mine.acquire()
            yours.release()

    watch = run_together([lambda: player(0), lambda: player(1)])
    return watch.sample(2 * rounds)


def ping_pong_among(implementation: Implementation, threads: int, size: int) -> Sample:
    """A ping-pong through two Locks while *threads* other threads wait on a Condition."""
    condition = implementation.Condition()  # type: ignore[misc]
    with waiting(condition, threads):
        return ping_pong_locks(implementation, 2, size)


class BoundedQueue:
    """A queue as in ``queue.Queue``: one Lock and two Conditions over it."""

    def __init__(self, implementation: Implementation) -> None:
        mutex = implementation.Lock()
        self._not_empty = implementation.Condition(mutex)
        self._not_full = implementation.Condition(mutex)
        self._items: deque[object] = deque()

    def put(self, item: object) -> None:
        with self._not_full:
            while len(self._items) >= CAPACITY:
                self._not_full.wait()
            self._items.append(item)
            self._not_empty.notify()

    def get(self) -> object:
        with self._not_empty:
            while not self._items:
                self._not_empty.wait()
            item = self._items.popleft()
            self._not_full.notify()
            return item


def producer_consumer(
    implementation: Implementation, threads: int, size: int, producers: int
) -> Sample:
    """*producers* of the threads put and the others get, through a bounded queue."""
    queue = BoundedQueue(implementation)
    consumers = threads - producers
    items = max(1, size // (producers * consumers)) * producers * consumers

    def produce() -> None:
        for _ in range(items // producers):
            queue.put(None)

    def consume() -> None:
        for _ in range(items // consumers):
            queue.get()

    watch = run_together([produce] * producers + [consume] * consumers)
    return watch.sample(items)


def broadcast(implementation: Implementation, threads: int, size: int) -> Sample:
    """Every one of *threads* is woken by notify_all(), again and again; one operation is one."""
    lock = implementation.RLock()  # type: ignore[misc]
    condition = implementation.Condition(lock)  # type: ignore[misc]
    all_back = implementation.Condition(lock)  # type: ignore[misc]
    rounds = max(1, size // threads)
    generation = back = 0

    def waiter() -> None:
        nonlocal back
        with condition:
            for current in range(rounds):
                back += 1
                if back == threads:
                    all_back.notify()
                while generation == current:
                    condition.wait()

    def broadcaster() -> None:
        nonlocal generation, back
        with condition:
            for _ in range(rounds):
                while back < threads:
                    all_back.wait()
                back = 0
                generation += 1
                condition.notify_all()

    watch = run_together([broadcaster, *[waiter] * threads])
    return watch.sample(rounds * threads)


def barrier_rounds(implementation: Implementation, threads: int, size: int) -> Sample:
    """*threads* threads meet at a Barrier, *size* times; one operation is one round of all."""
    assert implementation.Barrier is not None
    barrier = implementation.Barrier(threads)
    sums = [0] * threads

    def party(me: int) -> None:
        total = 0
        for _ in range(size):
            total += barrier.wait()
        sums[me] = total

    watch = run_together([lambda me=me: party(me) for me in range(threads)])
    each_round = sum(range(threads))
    if sum(sums) != size * each_round:
        raise AssertionError(f"indices are not unique: {sum(sums)} != {size} * {each_round}")
    return watch.sample(size)


SCENARIOS: tuple[Scenario, ...] = (
    *(
        Scenario(
            "ping-pong",
            f"ping-pong, {name}",
            __name__,
            f"ping_pong_{function}",
            type_,
            2,
            3_000,
            quick=quick,
            floor="ping_pong" if type_ == "Condition" else None,
        )
        for name, function, type_, quick in (
            ("Condition", "condition", "Condition", True),
            ("Event", "events", "Event", True),
            ("Semaphore", "semaphores", "Semaphore", False),
            ("two Locks", "locks", "Lock", False),
        )
    ),
    *(
        Scenario(
            "hand-overs by locks in use",
            f"ping-pong through {pairs:,} pairs of Locks",
            __name__,
            "ping_pong_locks",
            "Lock",
            2,
            max(3_000, 2 * pairs),
            series="hand-over, by locks in use",
            x=2 * pairs,
            scalable=pairs <= 100,
            arguments=(pairs,),
        )
        for pairs in (1, 100, 10_000, 100_000)
    ),
    *(
        Scenario(
            "hand-overs by threads that wait",
            f"ping-pong while {waiters:,} others wait",
            __name__,
            "ping_pong_among",
            "Condition",
            waiters,
            3_000,
            series="hand-over, by other threads that wait",
        )
        for waiters in (10, 1_000, 5_000)
    ),
    *(
        Scenario(
            "producer/consumer",
            f"queue, {producers} producer{'s' * (producers > 1)}, "
            f"{consumers} consumer{'s' * (consumers > 1)}",
            __name__,
            "producer_consumer",
            "Condition",
            producers + consumers,
            10_000,
            quick=producers == consumers <= 2,
            series="queue, 1:1, 2:2 and 4:4, by threads" if producers == consumers else None,
            arguments=(producers,),
        )
        for producers, consumers in ((1, 1), (2, 2), (4, 4), (1, 8))
    ),
    *(
        Scenario(
            "broadcast",
            f"notify_all() to {waiters} waiters, each",
            __name__,
            "broadcast",
            "Condition",
            waiters,
            10_000,
            quick=waiters == 50,
            series="notify_all(), for each waiter, by waiters",
            floor="broadcast",
        )
        for waiters in (2, 10, 50, 200)
    ),
    *(
        Scenario(
            "barrier",
            f"Barrier, {threads} threads, one round",
            __name__,
            "barrier_rounds",
            "Barrier",
            threads,
            1_000,
            quick=threads == 4,
            series="Barrier, one round, by threads",
            floor="barrier",
        )
        for threads in (2, 4, 8)
    ),
)
