#include "core/rmutex.h"

#include <assert.h>
#include <stddef.h>

#include "core/deadlock.h"

_Static_assert(offsetof(fl_rmutex, word) == 0, "the key of a lock is the address of its word");

fl_lock_result
fl_rmutex_try_lock_slow(fl_rmutex *mutex, fl_waiter *waiter)
{
    uint64_t self = fl_thread_register();
    if (self == 0) {
        return FL_LOCK_NO_MEMORY;
    }
    return fl_word_try_take_as(&mutex->word, self, waiter) ? FL_LOCK_ACQUIRED : FL_LOCK_BUSY;
}

/* ---- fl_lock_ops ---- */

static bool
is_owned(void *lock)
{
    return fl_rmutex_is_owned(lock);
}

static fl_lock_result
try_lock(void *lock, fl_waiter *waiter)
{
    if (waiter && waiter->designated) {
        assert(!fl_rmutex_is_owned(lock)); /* K1: since its wake-up it has run nothing that could have taken the lock */
        return fl_rmutex_try_lock_slow(lock, waiter);
    }
    return fl_rmutex_try_lock(lock);
}

/* A thread does not wait for what it owns: a signal handler may have taken the mutex for it since its last attempt.
 * The next attempt is a recursion then. */
static bool
mark_parked(void *lock, fl_waiter *waiter, bool attached)
{
    fl_rmutex *mutex = lock;
    return fl_rmutex_owner(mutex) != waiter->thread &&
           fl_word_mark_parked(&mutex->word, waiter, FL_FOR_RMUTEX, attached);
}

static uint64_t
release_all(void *lock, fl_waiter *later)
{
    return fl_rmutex_is_owned(lock) ? fl_rmutex_release_all(lock, later) : 0;
}

static void
restore(void *lock, uint64_t depth)
{
    fl_rmutex_restore(lock, depth);
}

const fl_lock_ops fl_rmutex_ops = {
    .wait = {.try_lock = try_lock, .mark_parked = mark_parked, .look = fl_deadlock_look},
    .is_owned = is_owned,
    .is_own = is_owned,
    .release_all = release_all,
    .restore = restore,
};
