/* How a thread waits for a lock or a permit, and what a condition needs of a lock.
 *
 * Fairness.  A release wakes the waiter at the head of the queue and lets anybody take the lock (barging): a thread
 * that is running uses it at once, and nobody waits for a context switch.  A waiter that has been waiting for
 * FL_FAIR_NS is handed the lock instead, so that it gets its turn.
 *
 * While a waiter is designated (core/lock_word.h) releases ignore FL_FAIR_NS; the first release after its attempt
 * checks again.  So a waiter may be passed over for as long as a designated one takes to run, once for each that waited
 * before it.
 *
 * A woken thread tries the lock *after* it has attached to its runtime.  Under a GIL a lock that is taken before that
 * would stay held until the GIL comes round, and every release would end in a switch of threads.
 *
 * A woken thread that finds the lock taken by a quicker one goes back to its place in the queue at once, without
 * attaching.  Under a GIL attaching would make the holder wait.
 *
 * A thread that wants a lock again which it has just released to a designated waiter backs off first, where the runtime
 * has no GIL: core/lot/back_off.h.
 *
 * K1  A wake-up that does not hand the lock over is spent by trying the lock, or by finding it held under the bucket's
 *     mutex.  The thread does so before anything that could make it give up.  If the attempt fails another thread holds
 *     the lock, and its release wakes the next in the queue.  Until the attempt other releases may wake nobody
 *     (core/lock_word.h). */

#ifndef FL_LOCKABLE_H
#define FL_LOCKABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/lot/waiter.h"

/* How long a waiter is passed over before it is handed the lock: two orders of magnitude above a hand-over between two
 * threads (about 10 us), so that fairness costs little, and one below what a person notices. */
#define FL_FAIR_NS INT64_C(1000000)

typedef enum {
    FL_LOCK_ACQUIRED,
    FL_LOCK_BUSY,      /* of an attempt without waiting: another thread holds it, or no permit is free */
    FL_LOCK_TIMED_OUT, /* of a wait: it was not to be had before the deadline */
    FL_LOCK_GIVEN_UP,  /* the blocker's poll() returned false; the lock was not taken and the thread is not queued */
    FL_LOCK_NO_MEMORY, /* the system lacks the resources to wait */
    FL_LOCK_OVERFLOW,  /* recursive mutex: it is held as often as can be counted */
    FL_LOCK_OPENED,    /* semaphore: it is not run by the core any more (S6) */
    FL_LOCK_DEADLOCK,  /* mutex: the wait would last for ever (core/deadlock.h); it is not queued */
} fl_lock_result;

/* What a wait needs of a mutex or a semaphore. */
typedef struct {
    /* Takes the lock if that can be done without waiting: any result but FL_LOCK_TIMED_OUT and FL_LOCK_GIVEN_UP.
     * `waiter` is what the calling thread waits as, or NULL; it is not designated afterwards. */
    fl_lock_result (*try_lock)(void *lock, fl_waiter *waiter);

    /* If the thread of `waiter` has to wait for the lock, marks it as having waiters and returns true; then the waiter
     * has the lock's kind, and is not designated any more.  False where an attempt would not be FL_LOCK_BUSY; false as
     * well where the calling thread is not `attached` and only attached threads may mark the lock now (W6, S7).  Called
     * under the mutex of the lock's bucket, by any thread. */
    bool (*mark_parked)(void *lock, fl_waiter *waiter, bool attached);

    /* Looks whether a wait can end, as fl_deadlock_look does; NULL where anybody may end it. */
    bool (*look)(fl_waiter *waiter);
} fl_wait_ops;

/* What a condition needs of its lock. */
typedef struct {
    fl_wait_ops wait;

    /* Whether the calling thread holds the lock; for a lock without owner, whether anybody does. */
    bool (*is_owned)(void *lock);

    /* Whether the calling thread is known to hold the lock. */
    bool (*is_own)(void *lock);

    /* For an idle waiter of the calling thread: notes in which way that holds the lock, so that it takes the lock back
     * in the same way.  NULL where there is one way only. */
    void (*note_hold)(void *lock, fl_waiter *waiter);

    /* Releases the lock with FL_WAKE_NEXT, however often it is held.  Returns how often that was, 0 where it was not
     * held.  `later` as for fl_lot_unpark_one. */
    uint64_t (*release_all)(void *lock, fl_waiter *later);

    /* Makes up for a release_all that returned `depth`, after the lock has been taken once. */
    void (*restore)(void *lock, uint64_t depth);
} fl_lock_ops;

/* Queues the idle waiter for the lock if it has to wait for that.  Returns whether it has to.  Does not block for
 * longer than a queue operation. */
bool fl_lock_enqueue(const fl_wait_ops *ops, void *lock, fl_waiter *waiter);

typedef fl_lock_result fl_lock_wait_fn(const fl_wait_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker);

/* Waits for `lock`, which the calling thread has just found busy, until `deadline_ns`.  On FL_LOCK_ACQUIRED the thread
 * holds it: it has taken it, or was handed it.  Any result but FL_LOCK_BUSY.  Blocks. */
fl_lock_wait_fn fl_lock_wait;

/* Does the same for a lock that may be free, and leaves it to its designated waiter first (core/lot/give_way.h).  Takes
 * a free lock also where the system lacks the resources to wait. */
fl_lock_wait_fn fl_lock_give_way;

/* Waits for `lock` as `waiter`: one that is idle and does not keep its place, and that may have been woken for the
 * lock, or handed it, before.  Otherwise as fl_lock_wait. */
fl_lock_result fl_lock_wait_as(const fl_wait_ops *ops, void *lock, fl_waiter *waiter, int64_t deadline_ns,
                               fl_blocker *blocker);

/* For a waiter that was taken out of the queue of `lock` as `deadlocked`; its thread is attached.  Returns whether the
 * wait goes on (D9).  Runs what the blocker's judge() runs. */
bool fl_lock_bears_deadlock(const void *lock, fl_waiter *waiter, const fl_blocker *blocker);

/* Returns how long the queued waiter has waited for the lock.  For a release, under the bucket's mutex. */
int64_t fl_lock_waited_ns(const fl_waiter *waiter);

/* Whether a release hands the lock to a waiter that has waited so long. */
static inline bool
fl_lock_hands_off(int64_t waited_ns)
{
    return waited_ns >= FL_FAIR_NS;
}

#endif
