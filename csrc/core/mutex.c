#include "core/mutex.h"

#include <stddef.h>

#include "core/deadlock.h"

_Static_assert(offsetof(fl_mutex, word) == 0, "the key of a lock is the address of its word");

/* ---- fl_lock_ops ---- */

static bool
is_owned(void *lock)
{
    return fl_mutex_is_locked(lock);
}

static bool
is_own(void *lock)
{
    fl_mutex *mutex = lock;
    uint64_t self = fl_thread_self();
    return self != 0 && fl_word_thread(fl_load_relaxed_u64(&mutex->word)) == self;
}

static void
note_hold(void *lock, fl_waiter *waiter)
{
    fl_mutex *mutex = lock;
    waiter->scoped = fl_word_owner(fl_load_relaxed_u64(&mutex->word)) == waiter->thread;
}

static fl_lock_result
take(fl_mutex *mutex, fl_waiter *waiter, bool scoped)
{
    return fl_word_try_take_as(&mutex->word, fl_mutex_taker(scoped), waiter) ? FL_LOCK_ACQUIRED : FL_LOCK_BUSY;
}

/* A waiter whose condition has noted a scoped hold takes that back. */
static fl_lock_result
try_lock(void *lock, fl_waiter *waiter)
{
    return take(lock, waiter, waiter && waiter->scoped);
}

static fl_lock_result
try_enter(void *lock, fl_waiter *waiter)
{
    return take(lock, waiter, true);
}

static bool
mark_parked(void *lock, fl_waiter *waiter, bool attached)
{
    fl_mutex *mutex = lock;
    return fl_word_mark_parked(&mutex->word, waiter, FL_FOR_MUTEX, attached);
}

static bool
mark_entering(void *lock, fl_waiter *waiter, bool attached)
{
    waiter->scoped = true; /* before it is queued, and can be handed the mutex */
    return mark_parked(lock, waiter, attached);
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
    .wait = {.try_lock = try_lock, .mark_parked = mark_parked, .look = fl_deadlock_look},
    .is_owned = is_owned,
    .is_own = is_own,
    .note_hold = note_hold,
    .release_all = release_all,
    .restore = restore,
};

const fl_wait_ops fl_mutex_scoped_ops = {
    .try_lock = try_enter,
    .mark_parked = mark_entering,
    .look = fl_deadlock_look,
};
