/* The semaphore: a number of permits, which threads take and give back.
 *
 * One word: the number of free permits, and
 *   PARKED   threads may be queued
 *
 *   permits PARKED
 *     0       0    none is free, nobody waits
 *     n       0    n are free, nobody waits
 *     0       1    none is free, threads may be queued
 *     n       1    n are free, threads may be queued: whoever gets there first takes one (barging)
 *
 *   OPENED, the highest bit: somebody else runs the semaphore from now on.  The number is what was free until then.
 *   The word is final.  As a number it is negative and too large, so that every fast path leaves it alone.
 *
 * S1  Whoever wants a permit takes it by a compare-and-swap that makes the number one less.  A waiter that was passed
 *     over for too long gets one from a release, which does not add that one to the number.
 * S2  PARKED is set under the mutex of the word's bucket, while no permit is free, and cleared under it.  It may be set
 *     while nobody is queued; it is never clear while somebody is.
 * S3  A release that finds PARKED clear is one compare-and-swap.  One that finds it set adds its permits under the
 *     mutex, in one step with taking as many waiters out of the queue.
 * S4  While the queue is not empty, every free permit has a woken waiter that has not tried yet.  A woken waiter tries
 *     before it can give up (K1), so no permit is lost to one that is interrupted.  A waiter that times out leaves the
 *     queue under the mutex, and was not woken.
 * S5  A bound is checked in the step that adds the permits: before S3's compare-and-swap on the number that it expects,
 *     or under the mutex, where the number only falls while PARKED is set.
 * S6  Opening moves everybody who waits to a condition, in their order and in one step with the change of the word
 *     (C5).  A waiter that is notified there finds the word OPENED when it tries.  It begins anew with whoever runs the
 *     semaphore now.  Perhaps nobody else was notified for the same permit: where that waiter raises instead, its
 *     caller notifies another one.
 * S7  Only attached threads change the word, where the runtime has one lock (platform/attached.h).  A detached thread
 *     that would have to set PARKED attaches first.
 *
 * Fairness: as for the mutexes, core/lockable.h.
 *
 * Memory ordering.  Taking a permit acquires, giving it back releases.  After the store that adds the permits a release
 * does not touch the word again: whoever takes the last permit may free it. */

#ifndef FL_SEMA_H
#define FL_SEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/cond.h"
#include "core/lockable.h"
#include "platform/atomic.h"
#include "platform/attached.h"
#include "platform/compiler.h"

enum { FL_SEMA_PARKED = 1, FL_SEMA_ONE = 2 };

#define FL_SEMA_OPENED (UINT64_C(1) << 63)

/* The largest number of permits. */
#define FL_SEMA_MAX ((FL_SEMA_OPENED - 1) / FL_SEMA_ONE)

_Static_assert(FL_SEMA_PARKED < FL_SEMA_ONE, "PARKED is below the permits");
_Static_assert((FL_SEMA_MAX * FL_SEMA_ONE + FL_SEMA_PARKED) < FL_SEMA_OPENED, "OPENED is above the permits");

typedef struct {
    fl_atomic_u64 word;
} fl_sema;

/* Sets up a semaphore of which `permits`, at most FL_SEMA_MAX, are free, and that nobody waits for. */
static inline void
fl_sema_init(fl_sema *sema, uint64_t permits)
{
    fl_store_relaxed_u64(&sema->word, permits * FL_SEMA_ONE);
}

/* How many permits are free, or were when the semaphore was opened.  Other threads may change that at once. */
static inline uint64_t
fl_sema_permits(fl_sema *sema)
{
    return (fl_load_relaxed_u64(&sema->word) & ~FL_SEMA_OPENED) / FL_SEMA_ONE;
}

/* Hands the semaphore over: from now on every function here leaves it alone, and the waits go on in the queue of `cond`
 * (S6).  Does nothing where that has been done.  Does not block for longer than a queue operation. */
void fl_sema_open(fl_sema *sema, fl_cond *cond);

/* Whether the semaphore is opened, which is final. */
static inline bool
fl_sema_is_opened(fl_sema *sema)
{
    return fl_load_acquire_u64(&sema->word) & FL_SEMA_OPENED;
}

/* Takes a permit if one is free (S1).  Returns whether it did; false where the semaphore is opened.  Does not block. */
static inline bool
fl_sema_try_acquire(fl_sema *sema)
{
    uint64_t word = fl_load_relaxed_u64(&sema->word);
    while (FL_LIKELY((int64_t)word >= FL_SEMA_ONE)) {
        if (FL_LIKELY(fl_attached_swap_seen_acquire_u64(&sema->word, word, word - FL_SEMA_ONE))) { /* S7 */
            return true;
        }
        word = fl_load_relaxed_u64(&sema->word);
    }
    return false;
}

/* Adds `count` permits and wakes as many waiters.  Returns false, and does nothing, where there would be more than
 * `bound` permits or the semaphore is opened.  The caller never lets it have more than `bound`.  Does not block for
 * longer than a queue operation. */
bool fl_sema_release_slow(fl_sema *sema, uint64_t count, uint64_t bound);

/* Adds a permit if nobody waits and that does not exceed `bound` (S5).  Returns whether it did.  Does not block. */
static inline bool
fl_sema_release_fast(fl_sema *sema, uint64_t bound)
{
    uint64_t word = fl_load_relaxed_u64(&sema->word);
    bool plain = !(word & FL_SEMA_PARKED) && word / FL_SEMA_ONE < bound;
    return plain && fl_attached_swap_seen_release_u64(&sema->word, word, word + FL_SEMA_ONE); /* S7 */
}

/* Does what fl_sema_release_slow does, and quicker where it can. */
static inline bool
fl_sema_release(fl_sema *sema, uint64_t count, uint64_t bound)
{
    return (count == 1 && FL_LIKELY(fl_sema_release_fast(sema, bound))) || fl_sema_release_slow(sema, count, bound);
}

/* For fl_lock_wait.  An attempt on an opened semaphore is FL_LOCK_OPENED. */
extern const fl_wait_ops fl_sema_ops;

#endif
