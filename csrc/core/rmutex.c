#include "core/rmutex.h"

fl_lock_result
fl_rmutex_try_lock_slow(fl_rmutex *mutex)
{
    uint64_t self = fl_thread_register();
    if (self == 0) {
        return FL_LOCK_NO_MEMORY;
    }
    uint64_t word = fl_load_relaxed_u64(&mutex->word);
    while ((word & ~FL_RMUTEX_PARKED) == 0) {
        if (fl_cas_acquire_u64(&mutex->word, &word, self | word)) {
            return FL_LOCK_ACQUIRED;
        }
    }
    return FL_LOCK_TIMED_OUT;
}

/* fl_unpark_fn.  The word is the caller's serial, perhaps with PARKED, and while this bucket is locked nobody
 * changes it. */
static bool
release_to(void *arg, fl_waiter *first, bool more)
{
    fl_rmutex *mutex = arg;
    bool hands_off = fl_lock_hands_off(first);
    if (first) {
        first->handed_off = hands_off;
    }
    fl_store_release_u64(&mutex->word, (hands_off ? first->thread : 0) | (more ? FL_RMUTEX_PARKED : 0));
    return true;
}

FL_SLOW void
fl_rmutex_unlock_slow(fl_rmutex *mutex, fl_waiter *later)
{
    fl_lot_unpark_one(mutex, release_to, mutex, later);
}

/* ---- fl_lock_ops ---- */

static bool
is_owned(void *lock)
{
    return fl_rmutex_is_owned(lock);
}

static fl_lock_result
try_lock(void *lock)
{
    return fl_rmutex_try_lock(lock);
}

static bool
mark_parked(void *lock)
{
    fl_rmutex *mutex = lock;
    uint64_t word = fl_load_relaxed_u64(&mutex->word);
    while ((word & ~FL_RMUTEX_PARKED) != 0 && !(word & FL_RMUTEX_PARKED)) {
        if (fl_cas_relaxed_u64(&mutex->word, &word, word | FL_RMUTEX_PARKED)) {
            return true;
        }
    }
    return (word & ~FL_RMUTEX_PARKED) != 0;
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
    .is_owned = is_owned,
    .try_lock = try_lock,
    .mark_parked = mark_parked,
    .release_all = release_all,
    .restore = restore,
};
