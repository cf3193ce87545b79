"""Planted bugs: each is one change of the core that the explorer has to find.

`old` stands once in the file, and is replaced by `new`.  `scenario` is the one that finds it: its
name, and `--gil` where it takes a runtime lock.
"""

from typing import NamedTuple


class Bug(NamedTuple):
    name: str
    file: str  # below csrc/
    old: str
    new: str
    scenario: str
    park: str = "default"  # the way to sleep


BUGS = [
    Bug(
        "a waiter queues for a lock that has just been released",
        "core/lock_word.c",
        "    while (fl_word_holder(seen) != 0) {\n        uint64_t after = (seen & ~ended) | FL_WORD_PARKED;",
        "    for (;;) {\n        uint64_t after = (seen & ~ended) | FL_WORD_PARKED;",
        "mutex-two",
    ),
    Bug(
        "a release that hands nothing over clears PARKED though others wait",
        "core/lock_word.c",
        "uint64_t next = more ? FL_WORD_PARKED : 0;",
        "uint64_t next = 0;\n    (void)more;",
        "mutex-three",
    ),
    Bug(
        "WOKEN stays set when the designated waiter finds the lock held",
        "core/lock_word.c",
        "uint64_t ended = waiter->designated ? FL_WORD_WOKEN : 0;",
        "uint64_t ended = 0;",
        "mutex-three",
    ),
    Bug(
        "a release of the lock does not release",
        "platform/atomic.h",
        "fl_cas_release_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_release,",
        "fl_cas_release_u64(fl_atomic_u64 *word, uint64_t *expected, uint64_t desired)\n{\n    return "
        "atomic_compare_exchange_strong_explicit(word, expected, desired, memory_order_relaxed,",
        "mutex-two",
    ),
    Bug(
        "the waker posts no token where the sleeper is on its way to sleep",
        "park/semaphore.c",
        "== FL_PARKER_ASLEEP && sem_post",
        "> FL_PARKER_ASLEEP && sem_post",
        "mutex-two",
    ),
]
