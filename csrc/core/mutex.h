/* The plain mutex: not recursive, and without an owner, so that any thread may release it.
 *
 * It is one word, with the states and invariants of core/lock_word.h.  The holder is FL_MUTEX_HELD, whoever it is.
 * Fairness: core/lockable.h. */

#ifndef FL_MUTEX_H
#define FL_MUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock_word.h"
#include "core/lockable.h"
#include "platform/atomic.h"
#include "platform/attached.h"
#include "platform/compiler.h"

#define FL_MUTEX_HELD FL_THREAD_SERIAL_STEP

_Static_assert((FL_MUTEX_HELD & FL_WORD_FLAGS) == 0, "the holder does not touch the flags");

typedef struct {
    fl_atomic_u64 word;
} fl_mutex;

/* Sets up a mutex that is free and that nobody waits for. */
static inline void
fl_mutex_init(fl_mutex *mutex)
{
    fl_store_relaxed_u64(&mutex->word, 0);
}

/* Takes the mutex if it is free and nobody waits for it.  Returns whether it did.  Does not block. */
static inline bool
fl_mutex_try_lock_fast(fl_mutex *mutex)
{
    return fl_attached_swap_acquire_u64(&mutex->word, 0, FL_MUTEX_HELD); /* W6 */
}

/* Takes the mutex if it is free.  Returns whether it was.  Does not block. */
static inline bool
fl_mutex_try_lock(fl_mutex *mutex)
{
    return fl_word_try_take(&mutex->word, FL_MUTEX_HELD);
}

/* Releases the mutex as fl_word_release does; `later` and the result as there. */
static inline bool
fl_mutex_unlock_slow(fl_mutex *mutex, fl_wake_policy policy, fl_waiter *later)
{
    return fl_word_release(&mutex->word, FL_MUTEX_HELD, policy, later);
}

/* Releases the mutex if it is held and nobody waits.  Returns whether it did.  Does not block. */
static inline bool
fl_mutex_unlock_fast(fl_mutex *mutex)
{
    return fl_attached_swap_release_u64(&mutex->word, FL_MUTEX_HELD, 0); /* W4, W6 */
}

/* Releases the mutex, and wakes a waiter as FL_WAKE_ONE says.  Returns false where it is not held.  Does not block for
 * longer than a queue operation. */
static inline bool
fl_mutex_unlock(fl_mutex *mutex)
{
    return FL_LIKELY(fl_mutex_unlock_fast(mutex)) || fl_mutex_unlock_slow(mutex, FL_WAKE_ONE, NULL);
}

/* Whether the mutex is held.  Another thread may change that at once. */
static inline bool
fl_mutex_is_locked(fl_mutex *mutex)
{
    return fl_word_holder(fl_load_relaxed_u64(&mutex->word)) != 0;
}

/* For fl_lock_wait (`wait`), and for conditions.  A depth is always 1. */
extern const fl_lock_ops fl_mutex_ops;

#endif
