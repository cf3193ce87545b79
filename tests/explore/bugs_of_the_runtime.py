"""Planted bugs of what only a runtime with one lock has: plain changes of words, and giving way."""

from bug import Bug

RUNTIME_BUGS = [
    Bug(
        "a detached waiter marks a lock that has no flag",
        "core/lock_word.c",
        "return attached || !FL_RUNTIME_LOCK || (seen & FL_WORD_FLAGS) != 0;",
        "(void)attached;\n    (void)seen;\n    return true;",
        "cond-two-wait --gil",
    ),
    Bug(
        "a detached waiter marks a semaphore",
        "core/sema.c",
        "while (word == 0 && (attached || !FL_RUNTIME_LOCK)) {",
        "(void)attached;\n    while (word == 0) {",
        "sema-turns --gil",
    ),
    Bug(
        "a designated waiter is not designated any more when it is woken",
        "core/lock_word.c",
        "after = next | (designates || has_designated(seen) ? fl_word_woken : 0);",
        "after = next | (has_designated(seen) ? fl_word_woken : 0);",
        "mutex-three --gil",
    ),
    Bug(
        "a thread gives way without a limit, and the runtime has ended whom it waits for",
        "core/lockable.c",
        "fl_deadline_after_ns(FL_GIVE_WAY_LIMIT_NS)",
        "FL_DEADLINE_NEVER",
        "give-way-ended --gil",
    ),
    Bug(
        "a thread that has given way in vain does not try",
        "core/lockable.c",
        "return waited == FL_WAIT_GIVEN_UP ? FL_LOCK_GIVEN_UP : FL_LOCK_BUSY;",
        "return waited == FL_WAIT_TIMED_OUT ? FL_LOCK_TIMED_OUT : FL_LOCK_BUSY;",
        "give-way-ended --gil",
    ),
    Bug(
        "a thread that lacks the resources to give way does not take the lock, which is free",
        "core/lockable.c",
        "return tried == FL_LOCK_BUSY ? FL_LOCK_NO_MEMORY : tried;",
        "(void)tried;\n    return FL_LOCK_NO_MEMORY;",
        "give-way-ended --gil",
    ),
]
