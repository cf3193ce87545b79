/* Helpers for the tests of the plain mutex. */

#ifndef FL_TESTS_MUTEX_HELPERS_H
#define FL_TESTS_MUTEX_HELPERS_H

#include "core/mutex.h"
#include "lot_helpers.h"

/* Times at which a waiter may have been queued first: it is handed the lock by every release, or by none. */
enum { WAITS_FOR_EVER = 1 };
#define JUST_CAME (INT64_MAX / 2)

/* The word while the calling thread has a loose hold, and nobody waits. */
#define LOOSE_HOLD (fl_thread_register() | FL_WORD_LOOSE)

static inline void
lock_mutex(fl_mutex *mutex)
{
    if (!fl_mutex_try_lock(mutex)) {
        CHECK_EQUAL(fl_lock_wait(&fl_mutex_ops.wait, mutex, FL_DEADLINE_NEVER, NULL), FL_LOCK_ACQUIRED);
    }
}

/* Queues a waiter as a thread does that finds the mutex held. */
static inline void
queue_for(fl_waiter *waiter, fl_mutex *mutex, int64_t since_ns)
{
    CHECK_EQUAL(fl_waiter_init(waiter, false), 0);
    waiter->since_ns = since_ns;
    CHECK(fl_lock_enqueue(&fl_mutex_ops.wait, mutex, waiter));
}

static inline uint64_t
word_of(fl_mutex *mutex)
{
    return fl_load_relaxed_u64(&mutex->word);
}

#endif
