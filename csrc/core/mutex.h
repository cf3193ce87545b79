/* The plain mutex: not recursive, and any thread may release it.
 *
 * It is one word, with the states and invariants of core/lock_word.h.
 *
 * M1  There are two ways to hold it.  A *scoped* hold lasts for a block of the program, at whose end the same thread
 *     releases the mutex.  A *loose* hold ends when any thread releases it; its word has LOOSE.  Whoever takes the
 *     mutex says which it is, and a release ends either.
 * M2  The serial of whoever takes the mutex is stored by the operation that takes it, with LOOSE or without, also where
 *     that is a hand-off: there the waiter says it (`scoped`).  A condition's wait takes the mutex back in the way in
 *     which its thread held it.
 * M3  The mutex does not check that a scoped hold ends as it should: any thread may release it.  Such a release breaks
 *     the block that it ends, whose own release comes once too often, or to somebody else's hold.  So core/deadlock.h
 *     may rely on scoped holds, and on no others.
 * M4  A thread without a serial gets one.  Where there is no memory for that its hold is loose, and nobody's.
 *
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

/* The holder where nobody knows who it is (M4). */
#define FL_MUTEX_HELD FL_WORD_LOOSE

typedef struct {
    fl_atomic_u64 word;
} fl_mutex;

/* Sets up a mutex that is free and that nobody waits for. */
static inline void
fl_mutex_init(fl_mutex *mutex)
{
    fl_store_relaxed_u64(&mutex->word, 0);
}

/* Takes the mutex, for a loose hold, if it is free and nobody waits for it.  Returns whether it did.  Does not block.
 * */
static inline bool
fl_mutex_try_lock_fast(fl_mutex *mutex)
{
    uint64_t self = fl_thread_self();
    return FL_LIKELY(self != 0) && fl_attached_swap_acquire_u64(&mutex->word, 0, self | FL_WORD_LOOSE); /* W6 */
}

/* The same for a scoped hold. */
static inline bool
fl_mutex_try_enter_fast(fl_mutex *mutex)
{
    uint64_t self = fl_thread_self();
    return FL_LIKELY(self != 0) && fl_attached_swap_acquire_u64(&mutex->word, 0, self); /* W6 */
}

/* What the word shows while the calling thread holds the mutex (M2, M4). */
static inline uint64_t
fl_mutex_taker(bool scoped)
{
    uint64_t self = fl_thread_register();
    return FL_LIKELY(scoped && self != 0) ? self : self | FL_WORD_LOOSE;
}

/* Takes the mutex, for a loose hold, if it is free.  Returns whether it was.  Does not block. */
static inline bool
fl_mutex_try_lock(fl_mutex *mutex)
{
    return fl_word_try_take(&mutex->word, fl_mutex_taker(false));
}

/* The same for a scoped hold. */
static inline bool
fl_mutex_try_enter(fl_mutex *mutex)
{
    return fl_word_try_take(&mutex->word, fl_mutex_taker(true));
}

/* Releases the mutex as fl_word_release does; `later` and the result as there. */
static inline bool
fl_mutex_unlock_slow(fl_mutex *mutex, fl_wake_policy policy, fl_waiter *later)
{
    return fl_word_release(&mutex->word, policy, later);
}

/* Releases the mutex if it is held and nobody waits, whoever holds it and how.  Returns whether it did.  Does not
 * block. */
static inline bool
fl_mutex_unlock_fast(fl_mutex *mutex)
{
    uint64_t seen = fl_load_relaxed_u64(&mutex->word);
    return FL_LIKELY((seen & FL_WORD_FLAGS) == 0 && seen != 0) &&
           fl_attached_swap_seen_release_u64(&mutex->word, seen, 0); /* W4, W6 */
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

/* For fl_lock_wait (`wait`) of a loose hold, and for conditions.  A depth is always 1. */
extern const fl_lock_ops fl_mutex_ops;

/* For fl_lock_wait of a scoped hold. */
extern const fl_wait_ops fl_mutex_scoped_ops;

#endif
