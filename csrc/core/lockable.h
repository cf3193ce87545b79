/* What the two mutexes have in common: how a thread waits for one, and what a condition needs of one.
 *
 * Fairness.  A release wakes the waiter at the head of the queue and lets anybody take the lock (barging): a thread
 * that is running uses it at once, and nobody waits for a context switch.  A waiter that has been waiting for
 * FL_FAIR_NS is handed the lock instead, so that it gets its turn.
 *
 * While a waiter is designated (core/lock_word.h) nobody else gets a turn by age: the next release after its attempt
 * looks again.  So a waiter may be passed over for as long as a designated one takes to run, once for each that waited
 * before it.
 *
 * A thread that was woken tries the lock *after* it has attached to its runtime.  Under a GIL a lock that was taken
 * before would stay held until the GIL comes round, and every release would end in a switch of threads.
 *
 * A thread that was woken and sees that somebody was quicker goes back to its place in the queue at once, without
 * attaching: under a GIL that would make the holder wait.
 *
 * Without a GIL a thread that wants a lock again for which it has designated a waiter, and not for a condition, lets
 * the others have it for some microseconds before it queues: core/lot/spin.h.
 *
 * K1  A wake-up that does not hand the lock over is spent by trying the lock, or by seeing under the bucket's mutex that
 *     it is held.  The thread does so before anything that could make it give up: if it fails, somebody else holds the
 *     lock and their release wakes the next in the queue.  Until then other releases may wake nobody (core/lock_word.h). */

#ifndef FL_LOCKABLE_H
#define FL_LOCKABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/lot/parking_lot.h"

/* How long a waiter is passed over before it gets a turn: two orders of magnitude above a hand-off between two
 * threads (about 10 us), so that fairness costs little, and one below what a person notices. */
#define FL_FAIR_NS INT64_C(1000000)

typedef enum {
    FL_LOCK_ACQUIRED,
    FL_LOCK_TIMED_OUT, /* of an attempt without waiting: another thread holds it */
    FL_LOCK_GIVEN_UP,  /* the blocker's poll() returned false; the lock was not taken and the thread is not queued */
    FL_LOCK_NO_MEMORY, /* the system lacks the resources to wait */
    FL_LOCK_OVERFLOW,  /* recursive mutex: it is held as often as can be counted */
    FL_LOCK_OPENED,    /* semaphore: it is not run by the core any more (S6) */
} fl_lock_result;

typedef struct {
    /* Whether the calling thread holds the lock; for a lock without owner, whether anybody does. */
    bool (*is_owned)(void *lock);
    /* Takes the lock if that can be done without waiting.  `waiter` is what the calling thread waits as, or NULL; it is not
     * designated afterwards. */
    fl_lock_result (*try_lock)(void *lock, fl_waiter *waiter);
    /* If the lock is held, marks it as having waiters and returns true; the waiter is not designated then.  Under the mutex
     * of the lock's bucket. */
    bool (*mark_parked)(void *lock, fl_waiter *waiter);
    /* Releases the lock for a condition, with FL_WAKE_NEXT, however often it is held.  Returns how often that was, 0 where it
     * was not held.  `later` as for fl_lot_unpark_one. */
    uint64_t (*release_all)(void *lock, fl_waiter *later);
    /* Makes up for a release_all that returned `depth`, after the lock has been taken once. */
    void (*restore)(void *lock, uint64_t depth);
} fl_lock_ops;

/* Queues the waiter for the lock if that is held.  Returns whether it was. */
bool fl_lock_enqueue(const fl_lock_ops *ops, void *lock, fl_waiter *waiter);

/* Waits for `lock` until `deadline_ns`, as `waiter`: one that is idle and does not keep its place, and may have
 * been handed the lock already. */
fl_lock_result fl_lock_wait_as(const fl_lock_ops *ops, void *lock, fl_waiter *waiter, int64_t deadline_ns,
                               fl_blocker *blocker);

/* The same with a waiter of its own. */
fl_lock_result fl_lock_wait(const fl_lock_ops *ops, void *lock, int64_t deadline_ns, fl_blocker *blocker);

/* For a release, under the bucket's mutex: how long the waiter has waited for the lock. */
int64_t fl_lock_waited_ns(const fl_waiter *waiter);

/* And whether it has to be handed the lock. */
static inline bool
fl_lock_hands_off(int64_t waited_ns)
{
    return waited_ns >= FL_FAIR_NS;
}

#endif
