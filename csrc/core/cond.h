/* The condition: threads wait until another thread notifies them.
 *
 * One word:
 *   PARKED   threads may be queued
 *
 * PARKED is set and cleared under the mutex of the condition's bucket.  It may be set while nobody is queued (after a
 * timeout); it is never clear while somebody is.
 *
 * C1  A waiter is queued before the lock is released, so a notification that happens after the release finds it.
 * C2  A notification is taken under the bucket's mutex, by setting `notified` on one waiter and removing it from
 *     the condition's queue.  A timeout and an interruption remove the waiter under the same mutex.  One of them is
 *     first (L1): a waiter that has timed out takes no notification, a notified one does not time out.
 * C3  A notified waiter whose lock is one of ours and held goes to the lock's queue and sleeps on; a release of
 *     the lock wakes it.  Any other notified waiter is woken at once, and so is each where the thread that notifies is
 *     not known to hold the lock: then the holder may be asleep, and the waiter has to look (D3).
 * C4  A waiter that was notified while its poll() ran, and is then given up, returns FL_COND_GIVEN_UP with
 *     waiter->notified set: its caller takes the lock and notifies another one in its place.
 * C5  A waiter that does not want the lock (`wants_no_lock`) is woken by its notification, and does not go to the
 *     lock's queue.  Such are those that waited for something else and were moved here, and those whose caller takes
 *     the lock back by itself (types/foreign.c).  They time out and are interrupted as any other.
 *
 * A wait is: fl_cond_enqueue; release the lock; fl_lot_sleep or, with a lock of ours, fl_lot_sleep_for, whose goal is
 * the lock; take the lock back, whatever happened. */

#ifndef FL_COND_H
#define FL_COND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/lockable.h"
#include "core/lot/parking_lot.h"
#include "platform/atomic.h"
#include "platform/compiler.h"

enum { FL_COND_PARKED = 1 };

typedef struct {
    fl_atomic_u32 word;
} fl_cond;

/* The lock of a condition: one of ours, or { NULL, NULL } for one that the core does not know. */
typedef struct {
    void *lock;
    const fl_lock_ops *ops;
} fl_cond_lock;

typedef enum {
    FL_COND_NOTIFIED,
    FL_COND_TIMED_OUT,
    FL_COND_GIVEN_UP,  /* the blocker's poll() returned false */
    FL_COND_NOT_HELD,  /* the lock is not held; a wake-up that came meanwhile has been passed on */
    FL_COND_NO_MEMORY, /* nothing has happened; the lock was not released */
    FL_COND_ORPHANED,  /* the lock's owner is gone (core/deadlock.h): the lock has not been taken back, and cannot be */
    FL_COND_LOCK_LOST, /* poll() of `blocker_back` returned false: the lock has not been taken back, and is not held */
} fl_cond_result;

/* Sets up a condition that nobody waits for. */
static inline void
fl_cond_init(fl_cond *cond)
{
    fl_store_relaxed_u32(&cond->word, 0);
}

/* Queues an idle waiter that keeps its place.  The caller holds the lock (C1).  Does not block for longer than a queue
 * operation. */
void fl_cond_enqueue(fl_cond *cond, fl_waiter *waiter);

/* Queues an idle waiter that keeps its place and does not want the lock (C5): its caller takes the lock back by itself.
 * The caller holds the lock (C1).  Does not block for longer than a queue operation. */
void fl_cond_enqueue_for_notification(fl_cond *cond, fl_waiter *waiter);

/* Moves all waiters of the key `from` to the condition.  They do not want its lock: a notification wakes them (C5).
 * `done(ctx)` runs in the same step, under the mutexes of both buckets.  Does not block for longer than a queue
 * operation. */
void fl_cond_adopt(fl_cond *cond, const void *from, void (*done)(void *ctx), void *ctx);

/* Whether threads may be queued.  Where the calling thread holds the lock, false is exact: a waiter queued itself under
 * that lock (C1). */
static inline bool
fl_cond_may_have_waiters(fl_cond *cond)
{
    return fl_load_relaxed_u32(&cond->word) != 0;
}

/* Returns how many threads are queued: a figure that may be out of date when the caller looks at it. */
static inline size_t
fl_cond_waiting(fl_cond *cond)
{
    return fl_lot_count(cond);
}

/* Does what fl_cond_notify does, where threads may be queued. */
size_t fl_cond_notify_slow(fl_cond *cond, size_t most, fl_cond_lock lock);

/* Notifies up to `most` waiters, those first that have waited longest.  The caller holds the lock, or makes up for a
 * notification (C4).  Returns how many were notified.  Does not block for longer than a queue operation. */
static inline size_t
fl_cond_notify(fl_cond *cond, size_t most, fl_cond_lock lock)
{
    return FL_LIKELY(!fl_cond_may_have_waiters(cond)) ? 0 : fl_cond_notify_slow(cond, most, lock);
}

/* For a wait that does not end as notified, once its waiter is idle: if the waiter was notified, another one gets its
 * notification (C4).  Does not block for longer than a queue operation. */
void fl_cond_pass_on(fl_cond *cond, const fl_waiter *waiter, fl_cond_lock lock);

/* For the child of a fork, where the caller re-initialises the lock: forgets the waiters that are not there.  Does not
 * block for longer than a queue operation. */
void fl_cond_after_fork(fl_cond *cond);

/* A whole wait with a lock of ours.  The calling thread holds the lock.  It holds it again afterwards, as often as
 * before, unless the result is FL_COND_LOCK_LOST or FL_COND_ORPHANED.  (A lock without owner that another thread holds
 * is released all the same, and what follows depends on what that thread does.)  `blocker` is for the wait,
 * `blocker_back` for taking the lock back, which signals do not interrupt.  Blocks. */
fl_cond_result fl_cond_wait(fl_cond *cond, fl_cond_lock lock, int64_t deadline_ns, fl_blocker *blocker,
                            fl_blocker *blocker_back);

/* A wait whose time is over when it begins: lets other threads have the lock, and takes no notification.  Results as
 * of fl_cond_wait, without FL_COND_NOTIFIED and FL_COND_GIVEN_UP.  Blocks to take the lock back. */
fl_cond_result fl_cond_give_way(fl_cond_lock lock, fl_blocker *blocker_back);

#endif
