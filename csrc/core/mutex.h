/* The plain mutex: not recursive, without an owner; any thread may release it.
 *
 * One word:
 *   PARKED HELD
 *     0     0    free
 *     0     1    held, nobody waits
 *     1     1    held, threads may be queued
 *     1     0    free, threads may be queued: whoever gets there first takes it (barging)
 *
 * M1  HELD is set by whoever takes the mutex with a compare-and-swap, or stays set when a release hands the mutex over.
 * M2  PARKED is set under the mutex of the word's bucket, and cleared under it.  It may be set while nobody is
 *     queued; it is never clear while somebody is.
 * M3  So a release that finds PARKED clear has nobody to wake, and is one compare-and-swap.
 *
 * Fairness: core/lockable.h.
 *
 * Memory ordering.  Taking the mutex acquires, releasing it releases; a hand-over passes through the waiter's
 * parker (P3).  After the store that releases it, a release does not touch the word again: the next owner may free
 * it. */

#ifndef FL_MUTEX_H
#define FL_MUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lockable.h"
#include "platform/atomic.h"
#include "platform/compiler.h"

enum { FL_MUTEX_HELD = 1, FL_MUTEX_PARKED = 2 };

typedef struct {
    fl_atomic_u32 word;
} fl_mutex;

/* The mutex is free and nobody waits. */
static inline void
fl_mutex_init(fl_mutex *mutex)
{
    fl_store_relaxed_u32(&mutex->word, 0);
}

/* Takes the mutex if it is free and nobody waits. */
static inline bool
fl_mutex_try_lock_fast(fl_mutex *mutex)
{
    uint32_t word = 0;
    return fl_cas_acquire_u32(&mutex->word, &word, FL_MUTEX_HELD);
}

/* Takes the mutex if it is free.  Never blocks. */
static inline bool
fl_mutex_try_lock(fl_mutex *mutex)
{
    uint32_t word = 0;
    if (FL_LIKELY(fl_cas_acquire_u32(&mutex->word, &word, FL_MUTEX_HELD))) {
        return true;
    }
    while (!(word & FL_MUTEX_HELD)) {
        if (fl_cas_acquire_u32(&mutex->word, &word, word | FL_MUTEX_HELD)) {
            return true;
        }
    }
    return false;
}

/* Releases the mutex and wakes one waiter; `later` as for fl_lot_unpark_one.  False where it is not held.  Never blocks
 * for longer than a queue operation. */
bool fl_mutex_unlock_slow(fl_mutex *mutex, fl_waiter *later);

/* Releases the mutex if it is held and nobody waits. */
static inline bool
fl_mutex_unlock_fast(fl_mutex *mutex)
{
    uint32_t word = FL_MUTEX_HELD;
    return fl_cas_release_u32(&mutex->word, &word, 0); /* M3 */
}

static inline bool
fl_mutex_unlock(fl_mutex *mutex)
{
    return FL_LIKELY(fl_mutex_unlock_fast(mutex)) || fl_mutex_unlock_slow(mutex, NULL);
}

static inline bool
fl_mutex_is_locked(fl_mutex *mutex)
{
    return fl_load_relaxed_u32(&mutex->word) & FL_MUTEX_HELD;
}

/* For waiting, and for conditions. */
extern const fl_lock_ops fl_mutex_ops;

#endif
