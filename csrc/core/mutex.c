#include "core/mutex.h"

#include <stddef.h>

_Static_assert(offsetof(fl_mutex, word) == 0, "the key of a lock is the address of its word");

/* ---- fl_lock_ops ---- */

static bool
is_owned(void *lock)
{
    return fl_mutex_is_locked(lock);
}

static fl_lock_result
try_lock(void *lock, fl_waiter *waiter)
{
    fl_mutex *mutex = lock;
    return fl_word_try_take_as(&mutex->word, FL_MUTEX_HELD, waiter) ? FL_LOCK_ACQUIRED : FL_LOCK_BUSY;
}

static bool
mark_parked(void *lock, fl_waiter *waiter, bool attached)
{
    fl_mutex *mutex = lock;
    return fl_word_mark_parked(&mutex->word, waiter, FL_FOR_MUTEX, attached);
}

static uint64_t
release_all(void *lock, fl_waiter *later)
{
    return fl_mutex_unlock_fast(lock) || fl_mutex_unlock_slow(lock, FL_WAKE_NEXT, later) ? 1 : 0;
}

static void
restore(void *lock, uint64_t depth)
{
    (void)lock;
    (void)depth;
}

const fl_lock_ops fl_mutex_ops = {
    .wait = {.try_lock = try_lock, .mark_parked = mark_parked},
    .is_owned = is_owned,
    .release_all = release_all,
    .restore = restore,
};
