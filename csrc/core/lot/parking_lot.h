/* The parking lot: the one waiter queue of all primitives.
 *
 * A thread waits for a key, which is the address of a primitive.  The lot is a table of buckets, each with a pthread
 * mutex and found by a hash of the key (core/lot/bucket.h).  The primitives keep one word each and know nothing of
 * queues.
 *
 * In a bucket the waiters of one key form a FIFO, and the heads of those FIFOs form a list.  A waiter that comes back
 * goes to its old place (L9): the lock that it was woken for was taken by another thread, or a signal handler had to
 * run.  It takes this many steps
 *   to take a waiter out   always the same few, also from the middle of ten thousand
 *   to put a waiter in     as many as there are waiters between its place and the nearer end: none for one that has
 *                          just come, few for one that comes back
 *   to find a key          as many as there are *keys* with waiters in its bucket
 *
 * The life of a waiter is drawn in core/lot/waiter.h.
 *
 * L1  `queued` is true from fl_lot_enqueue until the waiter leaves its queue, and changes under the mutex of its
 *     bucket.  Whoever turns it false decides how the wait ends: the waiter itself, or one unparker.  Never both.
 * L2  A waiter that finds `queued` false and did not do it itself is going to be woken: it sleeps until then,
 *     whatever its deadline, so that no unparker touches a waiter that has gone.  A waiter that finds `notified` true
 *     sleeps on in the same way: it may still be queued, for its lock, and the release of the lock will wake it.
 * L3  `bucket` and `key` change while the mutexes of both buckets are held.
 * L4  `notified`, `handed_off` and `designated` are written before `queued` turns false, under the mutex.  The owner
 *     reads them after the wake-up or under the mutex.
 * L5  A waiter is in no queue when its thread attaches to the runtime, because the runtime may end the thread there,
 *     and its stack with it.  There are two exceptions.  The waiter of an interruptible thread may keep its place while
 *     poll() runs (`keeps_place`): that thread is never ended there.  And some callers run code of the runtime between
 *     enqueue and sleep.  In both cases the waiter is allocated and not on the stack, because code that switches stacks
 *     under a thread (greenlets) may run there.
 * L6  Under a bucket's mutex there is no call of the runtime, no allocation and no sleep.  Mutexes are taken in this
 *     order: buckets by their addresses, then the registry of threads, then the mutex that a parker may have.  A
 *     requeue holds two buckets.  A fork, core/deadlock.c and who lists all waits hold all buckets and the registry;
 *     core/deadlock.c holds one bucket and the registry as well.  A thread that wakes a polling waiter holds a bucket
 *     and a parker's mutex (L7).  Nothing else holds two mutexes of the core.
 * L7  A waiter that is polling is woken under the mutex.  So a fork in its poll() finds it queued or woken, never in
 *     between.
 * L8  A thread may take a waiter out and keep it as `owed`, to wake it when the thread has detached.  The thread does
 *     nothing else until then: it calls fl_lot_sleep, which wakes the owed waiter when detach() has returned, or
 *     fl_lot_cancel.  A waiter that was handed something is not owed but woken at once.
 * L9  A FIFO is in the order of `since_ns`, and of arrival where that is equal: the first has waited longest.  A
 *     notification sets since_ns to its own time.  So a waiter that it moves to a lock's queue goes behind those that
 *     wanted the lock before, however long it has waited for the notification; and waiters that are notified together
 *     keep their order.  The clock is read before the mutex is taken, so two that come at once may be in either order.
 *
 * A waiter spins before it sleeps, and before it attaches again it gives its waker time to detach: core/lot/spin.h. */

#ifndef FL_PARKING_LOT_H
#define FL_PARKING_LOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/lot/waiter.h"

/* ---- waiting ---- */

/* How a sleep has ended.  The probes tell these numbers (docs/probes.md). */
typedef enum {
    FL_WAIT_UNPARKED = 0,    /* another thread has taken it out of the queue and woken it */
    FL_WAIT_TIMED_OUT = 1,   /* the deadline passed first; it has left the queue */
    FL_WAIT_INTERRUPTED = 2, /* poll() has run and returned true; it has left the queue */
    FL_WAIT_GIVEN_UP = 3,    /* poll() returned false; it has left the queue, or was unparked while poll() ran */
    FL_WAIT_DEADLOCKED = 4,  /* it was taken out, as it would have waited for ever: core/deadlock.h */
} fl_wait_result;

/* Queues the idle waiter for `key` if `validate(ctx)` returns true.  `validate` runs under the bucket's mutex and may
 * change the primitive's word there.  Returns what it returned.  Does not block for longer than a queue operation. */
bool fl_lot_enqueue(fl_waiter *waiter, const void *key, bool (*validate)(void *ctx), void *ctx);

/* Sleeps until the queued waiter is unparked, times out or is given up.  `blocker` is NULL or as in core/blocker.h.
 * Blocks.  On return the waiter is idle, and the calling thread attached again. */
fl_wait_result fl_lot_sleep(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker);

/* What the wait is really for.  After a wake-up without a hand-off the waiter queues for `key` again, as by
 * fl_lot_enqueue, for as long as `validate(ctx)` returns true. */
typedef struct {
    const void *key;
    bool (*validate)(void *ctx);
    void *ctx;

    /* NULL, or called before each sleep for the goal, detached and with no mutex: looks whether the wait can end.  True
     * if it has taken the waiter out; then the wait ends as FL_WAIT_DEADLOCKED. */
    bool (*look)(void *ctx);
} fl_lot_goal;

/* Sleeps as fl_lot_sleep does, for a goal (NULL: none).  A waiter that goes back to its goal's queue does so without
 * attaching in between: to find the lock taken is no reason to ask for the runtime. */
fl_wait_result fl_lot_sleep_for(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker, const fl_lot_goal *goal);

/* Ends a wait before its sleep: takes the queued waiter out.  Returns true if it was still queued, false if an unparker
 * was first, whose wake-up it has waited for then.  The waiter is idle afterwards either way. */
bool fl_lot_cancel(fl_waiter *waiter);

/* ---- waking ---- */

/* Decides about the first waiter of the key, which is NULL where nobody waits; `more`: whether others wait behind it.
 * Runs under the bucket's mutex.  It may change the primitive's word, and the waiter's `handed_off` and `designated`.
 * True takes the waiter out and wakes it. */
typedef bool fl_unpark_fn(void *ctx, fl_waiter *first, bool more);

/* Unparks the waiter that has waited longest for `key`, if `decide` says so.  Wakes it when the mutex is free again.
 * `later` is NULL, or the calling thread's own waiter, which is queued and about to sleep: then the thread wakes the
 * unparked waiter only at the beginning of that sleep, when the thread is detached (L8).  Does not block for
 * longer than a queue operation. */
void fl_lot_unpark_one(const void *key, fl_unpark_fn *decide, void *ctx, fl_waiter *later);

/* How several waiters are unparked in one step.  Each function runs under the bucket's mutex. */
typedef struct {
    size_t (*begin)(void *ctx);                 /* how many to unpark at most, those first that have waited longest */
    void (*take)(void *ctx, fl_waiter *waiter); /* for each of them; it may change `handed_off` and `place` */
    void (*end)(void *ctx, bool left);          /* `left`: whether any still wait; after it the key may be freed */
} fl_unpark_ops;

/* Unparks waiters of `key`, and wakes them when the mutex is free again.  Returns how many they were.  Does not block
 * for longer than a queue operation. */
size_t fl_lot_unpark_many(const void *key, const fl_unpark_ops *ops, void *ctx);

/* Decides about a waiter that is about to leave `from`: true queues it for `to`, false wakes it.  Runs under both
 * buckets' mutexes.  One that is `polling` may go only where it can still time out and give up: to another condition,
 * never to a lock. */
typedef bool fl_requeue_fn(void *ctx, fl_waiter *waiter);

/* Takes up to `most` waiters from the head of `from` and queues them for `to` or wakes them, as `decide` says.
 * `done(ctx, left)` runs last under the mutexes; `left`: whether any still wait for `from`.  Returns how many were
 * taken.  Does not block for longer than a queue operation. */
size_t fl_lot_requeue(const void *from, const void *to, size_t most, fl_requeue_fn *decide,
                      void (*done)(void *ctx, bool left), void *ctx);

/* ---- looking ---- */

/* Calls `visit`, unless it is NULL, for each waiter of `key` in its order, under the bucket's mutex.  Returns how many
 * they are.  For tests and debugging.  Does not block for longer than a queue operation. */
size_t fl_lot_walk(const void *key, void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx);

/* Does the same for the waiters of all keys, with all buckets locked: what it shows is true of one moment.  Takes some
 * 20 us, and others wait meanwhile. */
size_t fl_lot_walk_all(void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx);

/* The same for a caller that has locked all buckets (core/deadlock.h). */
size_t fl_lot_walk_locked(void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx);

/* Returns how many wait for `key`: a figure that may be out of date when the caller looks at it. */
static inline size_t
fl_lot_count(const void *key)
{
    return fl_lot_walk(key, NULL, NULL);
}

#endif
