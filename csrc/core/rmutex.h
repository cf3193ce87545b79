/* The recursive mutex: owned by one thread, which may take it again.
 *
 * It is one word, with the states and invariants of core/lock_word.h, and one count.  The holder is the serial of the
 * owning thread.
 *
 * R1  The owner's serial is stored by the operation that takes the mutex, so there is no moment at which it is held
 *     and not owned.  A signal handler that interrupts any function here finds it held and owned, or free.
 * R2  Only the owner releases it.
 * R3  `extra` counts how often more than once the owner has taken it.  Only the owner writes it; it is 0 when the mutex
 *     changes hands.
 * R4  A thread's serial is stored in the word by itself, or by the release that hands the mutex over while the
 *     thread is still asleep, and removed by itself only.  So while a thread runs nobody else changes the answer to
 *     "is it mine?", and relaxed loads are enough to ask.
 *
 * Fairness: core/lockable.h. */

#ifndef FL_RMUTEX_H
#define FL_RMUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/lock_word.h"
#include "core/lockable.h"
#include "core/thread.h"
#include "platform/atomic.h"
#include "platform/attached.h"
#include "platform/compiler.h"

/* The largest depth that can be counted. */
#define FL_RMUTEX_DEPTH_MAX UINT64_MAX

typedef struct {
    fl_atomic_u64 word;
    fl_atomic_u64 extra; /* depth - 1 while held; atomic, because repr reads it from any thread */
} fl_rmutex;

/* Sets up a mutex that is free and that nobody waits for. */
static inline void
fl_rmutex_init(fl_rmutex *mutex)
{
    fl_store_relaxed_u64(&mutex->word, 0);
    fl_store_relaxed_u64(&mutex->extra, 0);
}

/* The serial of the owner, 0 where the mutex is free.  Other threads may change it at once. */
static inline uint64_t
fl_rmutex_owner(fl_rmutex *mutex)
{
    return fl_word_holder(fl_load_relaxed_u64(&mutex->word));
}

/* Whether the mutex is held, by any thread.  Another thread may change that at once. */
static inline bool
fl_rmutex_is_locked(fl_rmutex *mutex)
{
    return fl_rmutex_owner(mutex) != 0;
}

/* Whether the calling thread holds the mutex (R4). */
static inline bool
fl_rmutex_is_owned(fl_rmutex *mutex)
{
    uint64_t self = fl_thread_self();
    return self != 0 && fl_rmutex_owner(mutex) == self; /* U1 */
}

/* How often the mutex is held, by any thread.  The figure may be out of date where it is not the calling thread. */
static inline uint64_t
fl_rmutex_depth(fl_rmutex *mutex)
{
    return fl_rmutex_is_locked(mutex) ? fl_load_relaxed_u64(&mutex->extra) + 1 : 0;
}

/* Takes the mutex if it is free and nobody waits for it (R1).  Returns whether it did.  Does not block. */
static inline bool
fl_rmutex_try_lock_fast(fl_rmutex *mutex)
{
    uint64_t self = fl_thread_self();
    return FL_LIKELY(self != 0) && fl_attached_swap_acquire_u64(&mutex->word, 0, self); /* W6 */
}

/* Does what fl_rmutex_try_lock does, for a thread that does not own the mutex or has no serial yet; also
 * FL_LOCK_NO_MEMORY where there is none for the serial.  `waiter` as for fl_word_try_take_as.  Does not block. */
fl_lock_result fl_rmutex_try_lock_slow(fl_rmutex *mutex, fl_waiter *waiter);

/* Takes the mutex if it is free or the calling thread's own already.  Returns FL_LOCK_BUSY where another thread holds
 * it, FL_LOCK_OVERFLOW or FL_LOCK_NO_MEMORY.  Does not block. */
static inline fl_lock_result
fl_rmutex_try_lock(fl_rmutex *mutex)
{
    if (!fl_rmutex_is_owned(mutex)) {
        return fl_rmutex_try_lock_slow(mutex, NULL);
    }
    uint64_t extra = fl_load_relaxed_u64(&mutex->extra);
    if (FL_UNLIKELY(extra == FL_RMUTEX_DEPTH_MAX - 1)) {
        return FL_LOCK_OVERFLOW;
    }
    fl_store_relaxed_u64(&mutex->extra, extra + 1); /* R3 */
    return FL_LOCK_ACQUIRED;
}

/* Releases the mutex if the calling thread holds it once and nobody waits.  Returns whether it did.  Does not block. */
static inline bool
fl_rmutex_unlock_fast(fl_rmutex *mutex)
{
    uint64_t self = fl_thread_self();
    return fl_load_relaxed_u64(&mutex->extra) == 0 && FL_LIKELY(self != 0) &&
           fl_attached_swap_release_u64(&mutex->word, self, 0); /* W4, W6 */
}

/* Undoes one lock of the calling thread; the last one as fl_word_release does.  Returns false where the thread does not
 * own the mutex (R2). */
static inline bool
fl_rmutex_unlock_slow(fl_rmutex *mutex, fl_wake_policy policy)
{
    if (FL_UNLIKELY(!fl_rmutex_is_owned(mutex))) {
        return false;
    }
    uint64_t extra = fl_load_relaxed_u64(&mutex->extra);
    if (FL_UNLIKELY(extra != 0)) {
        fl_store_relaxed_u64(&mutex->extra, extra - 1);
        return true;
    }
    return fl_word_release(&mutex->word, policy, NULL);
}

/* Undoes one lock of the calling thread, and wakes a waiter as FL_WAKE_ONE says when it was the last.  Returns false
 * where the thread does not own the mutex.  Does not block for longer than a queue operation. */
static inline bool
fl_rmutex_unlock(fl_rmutex *mutex)
{
    return FL_LIKELY(fl_rmutex_unlock_fast(mutex)) || fl_rmutex_unlock_slow(mutex, FL_WAKE_ONE);
}

/* Undoes all locks of the calling thread, which owns the mutex, with FL_WAKE_NEXT.  Returns how many they were, for
 * fl_rmutex_restore.  `later` as for fl_lot_unpark_one.  Does not block for longer than a queue operation. */
static inline uint64_t
fl_rmutex_release_all(fl_rmutex *mutex, fl_waiter *later)
{
    uint64_t depth = fl_load_relaxed_u64(&mutex->extra) + 1;
    fl_store_relaxed_u64(&mutex->extra, 0); /* R3 */
    if (FL_UNLIKELY(!fl_attached_swap_release_u64(&mutex->word, fl_thread_self(), 0))) {
        (void)fl_word_release(&mutex->word, FL_WAKE_NEXT, later);
    }
    return depth;
}

/* Makes up for a release_all that returned `depth`, which is at least 1.  The calling thread has taken the mutex once
 * since.  A signal handler that ran in between may have left it held more often, and those levels stay. */
static inline void
fl_rmutex_restore(fl_rmutex *mutex, uint64_t depth)
{
    uint64_t extra = fl_load_relaxed_u64(&mutex->extra);
    uint64_t room = FL_RMUTEX_DEPTH_MAX - 1 - extra;
    fl_store_relaxed_u64(&mutex->extra, extra + (depth - 1 < room ? depth - 1 : room));
}

/* For fl_lock_wait (`wait`), and for conditions. */
extern const fl_lock_ops fl_rmutex_ops;

#endif
