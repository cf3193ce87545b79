/* The plain mutex: not recursive, without an owner; any thread may release it.
 *
 * One word, whose states and invariants are those of core/lock_word.h.  The holder is FL_MUTEX_HELD, whoever it is.
 * Fairness: core/lockable.h. */

#ifndef FL_MUTEX_H
#define FL_MUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock_word.h"
#include "core/lockable.h"
#include "platform/atomic.h"
#include "platform/compiler.h"

#define FL_MUTEX_HELD FL_THREAD_SERIAL_STEP

typedef struct {
    fl_atomic_u64 word;
} fl_mutex;

/* The mutex is free and nobody waits. */
static inline void
fl_mutex_init(fl_mutex *mutex)
{
    fl_store_relaxed_u64(&mutex->word, 0);
}

/* Takes the mutex if it is free and nobody waits. */
static inline bool
fl_mutex_try_lock_fast(fl_mutex *mutex)
{
    uint64_t word = 0;
    return fl_cas_acquire_u64(&mutex->word, &word, FL_MUTEX_HELD);
}

/* Takes the mutex if it is free.  Never blocks. */
static inline bool
fl_mutex_try_lock(fl_mutex *mutex)
{
    return fl_word_try_take(&mutex->word, FL_MUTEX_HELD);
}

/* Releases the mutex, as fl_word_release does. */
static inline bool
fl_mutex_unlock_slow(fl_mutex *mutex, fl_wake_policy policy, fl_waiter *later)
{
    return fl_word_release(&mutex->word, FL_MUTEX_HELD, policy, later);
}

/* Releases the mutex if it is held and nobody waits. */
static inline bool
fl_mutex_unlock_fast(fl_mutex *mutex)
{
    uint64_t word = FL_MUTEX_HELD;
    return fl_cas_release_u64(&mutex->word, &word, 0); /* W4 */
}

static inline bool
fl_mutex_unlock(fl_mutex *mutex)
{
    return FL_LIKELY(fl_mutex_unlock_fast(mutex)) || fl_mutex_unlock_slow(mutex, FL_WAKE_ONE, NULL);
}

static inline bool
fl_mutex_is_locked(fl_mutex *mutex)
{
    return fl_word_holder(fl_load_relaxed_u64(&mutex->word)) != 0;
}

/* For waiting, and for conditions. */
extern const fl_lock_ops fl_mutex_ops;

#endif
