/* The parking lot: the one waiter queue of all primitives.
 *
 * A thread waits for a key, which is the address of a primitive; the lot is a table of buckets, found by a hash of the
 * key, each with a pthread mutex.  The primitives keep one word each and know nothing of queues.
 *
 * In a bucket the waiters of one key form a FIFO, and the heads of those FIFOs a list.  A waiter that comes back,
 * because the lock that it was woken for is gone again or because a signal handler had to run, goes to its old place (L9).
 * Taking a waiter out of the middle costs the same whether ten or ten thousand wait with it; putting one in costs as
 * many steps as its place is away from the nearer end, which is none for who has just come and few for who comes back;
 * finding a key costs as many steps as there are *keys* with waiters in its bucket.
 *
 * Life of a waiter, and who may move it on:
 *
 *   idle --enqueue--> queued --dequeue by itself (timeout, interruption)--> idle
 *                       |  \--requeue--> queued for another key
 *                       \--unpark--> taken --wake--> idle
 *
 * L1  `queued` is true from fl_lot_enqueue until the waiter leaves its queue, and changes under the mutex of the
 *     bucket of `key`.  Whoever turns it false decides how the wait ends: the waiter itself, or one unparker.
 *     Never both.
 * L2  A waiter that finds `queued` false and did not do it itself is going to be woken: it sleeps until then,
 *     whatever its deadline, so that no unparker touches a waiter that has gone.
 * L3  `key` changes while the mutexes of both buckets are held.
 * L4  `notified`, `handed_off` and `designated` are written before `queued` turns false, under the mutex, and read by the owner
 *     after the wake-up or under the mutex.
 * L5  A waiter is on no queue when its thread attaches to the runtime, which may end the thread there and its stack
 *     with it.  There are two exceptions: an interruptible thread, which is never ended, runs poll() in its place
 *     (`keeps_place`); and a caller that runs code of the runtime between enqueue and sleep allocates its waiter.
 *     The first allocates its waiter too, because code that switches stacks under a thread (greenlets) may run
 *     there.
 * L6  Under a bucket's mutex: no call of the runtime, no allocation, no sleep, and no other mutex, with two exceptions.
 *     A second bucket is locked where its address is the greater one; a fork locks all the buckets, in the order of
 *     their addresses, and then the registry of threads.  (A parker may have a mutex: it is taken last, L7.)
 * L7  A waiter that is polling is woken under the mutex: a fork in its poll() finds it queued or woken, never in
 *     between.
 * L8  A thread that has taken a waiter out and keeps it as `owed`, to wake it when it is detached, does nothing else
 *     until then: it calls fl_lot_sleep, which pays when detach() has returned, or fl_lot_cancel.  A waiter that was
 *     handed something is not owed but woken at once.
 * L9  A FIFO is in the order of `since_ns`, and of arrival where that is equal: the first has waited longest.  A
 *     notification sets since_ns: whoever is moved to a lock's queue goes behind those that wanted the lock before,
 *     however long it has waited for the notification, and those that are notified together keep their order.  The clock
 *     is read before the mutex is taken, so two that come at once may be in either order.
 *
 * Before it sleeps a waiter spins, and before it attaches again it gives its waker time to detach: core/lot/spin.h. */

#ifndef FL_PARKING_LOT_H
#define FL_PARKING_LOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blocker.h"
#include "park/park.h"
#include "platform/atomic.h"

typedef struct fl_waiter fl_waiter;

typedef enum {
    FL_STAYS,           /* of a timeout: it is refused, and the wait is one without a deadline from here on */
    FL_LEAVES,          /* the waiter leaves its queue */
    FL_LEAVES_WITH_ALL, /* and all others of its key are unparked */
} fl_leave;

/* Runs under the bucket's mutex when the waiter is about to leave its queue without having been unparked, so that the
 * primitive can take note of it in the same step.  Where `timed_out` is false, after an interruption or in a forked
 * child that lacks the thread, it leaves whatever is returned. */
typedef fl_leave fl_leave_fn(fl_waiter *waiter, bool timed_out);

struct fl_waiter {
    /* Under the mutex of the bucket of `key`.  `key` itself is also read without it, to find the bucket (L3). */
    fl_atomic_ptr key;
    fl_waiter *next, *prev;
    fl_waiter *tail;       /* of the FIFO; head only */
    fl_waiter *next_queue; /* the next key's FIFO in this bucket; head only */
    bool queued;
    bool notified;   /* a condition has chosen it: it waits for nothing but the lock, without timeout or interruption */
    bool handed_off; /* the primitive was given to it by the unparker */
    bool designated; /* the unparker relies on it to try the lock: core/lock_word.h */
    bool is_only_woken; /* it does not wait for the lock of its condition, so that a notification never requeues it */
    bool polling; /* its thread runs code of the runtime: it can be unparked, but not sent to a lock's queue (L7) */

    uint64_t waker; /* the serial of the thread that has unparked it, for core/lot/spin.h */
    uint32_t place; /* the unparker's note: which of those that it has unparked together this one is */

    /* The owner's, and constant while queued, except that a notification sets since_ns and an interruption
     * was_interrupted, both under the mutex. */
    fl_leave_fn *on_leave;  /* or NULL */
    fl_waiter *owed;        /* what the thread has taken out, and wakes as soon as it is detached */
    bool is_first;          /* it was the first for its key when it was queued */
    bool was_interrupted;   /* so its wait takes long, and it does not spin again */
    bool is_woken_with_all; /* all that wait for its key are unparked in one step, so that it need not be the first */
    bool keeps_place;       /* stays queued while an interruption is dealt with; see L5 */
    uint64_t thread;        /* its serial */
    int64_t since_ns;       /* when it was first queued, for fairness; set anew by a notification */
    fl_parker parker;
};

typedef enum {
    FL_WAIT_UNPARKED,    /* another thread has taken it out of the queue and woken it */
    FL_WAIT_TIMED_OUT,   /* the deadline passed first; it has left the queue */
    FL_WAIT_INTERRUPTED, /* poll() has run and returned true; it has left the queue */
    FL_WAIT_GIVEN_UP,    /* poll() returned false; it has left the queue, or was unparked while poll() ran */
} fl_wait_result;

/* Sets up a waiter of the calling thread.  Returns 0, ENOMEM or EAGAIN.  Discarded by fl_waiter_fini when it is
 * idle. */
int fl_waiter_init(fl_waiter *waiter, bool keeps_place);
void fl_waiter_fini(fl_waiter *waiter);

/* Sets up a waiter that keeps its place: `storage`, or one that is allocated, if it is to stay queued while poll()
 * runs (L5).  Returns NULL where the system lacks resources. */
fl_waiter *fl_waiter_begin(fl_waiter *storage, const fl_blocker *blocker);
void fl_waiter_end(fl_waiter *waiter, fl_waiter *storage);

/* Queues the waiter for `key` if `validate(ctx)` agrees.  `validate` runs under the bucket's mutex and may change the
 * primitive's word there.  Returns what it returned.  Does not block. */
bool fl_lot_enqueue(fl_waiter *waiter, const void *key, bool (*validate)(void *ctx), void *ctx);

/* Sleeps until the queued waiter is unparked, times out or is given up.  `blocker` is NULL or as in core/blocker.h.
 * On return the waiter is idle, and the calling thread attached again. */
fl_wait_result fl_lot_sleep(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker);

/* What a waiter that was unparked without a hand-over waits for: it goes back to the queue of `key`, as in fl_lot_enqueue,
 * while `validate(ctx)` says so. */
typedef struct {
    const void *key;
    bool (*validate)(void *ctx);
    void *ctx;
} fl_lot_goal;

/* The same, and a waiter that is unparked goes back to its goal's queue as long as somebody was quicker, without attaching
 * in between: to find the lock taken is no reason to ask for the runtime. */
fl_wait_result fl_lot_sleep_for(fl_waiter *waiter, int64_t deadline_ns, fl_blocker *blocker, const fl_lot_goal *goal);

/* For a thread that is about to queue itself for what it has given up for somebody else lately: leaves it to the
 * others for a while, detached and as often as core/lot/spin.h says, and asks attached in between.  True as soon as
 * `is_decided(ctx)` is.  May do nothing. */
bool fl_lot_back_off(const void *key, int64_t deadline_ns, fl_blocker *blocker, bool (*is_decided)(void *ctx),
                     void *ctx);

/* Takes the waiter out of its queue where it has not been unparked yet.  For a wait that is abandoned before its sleep.
 * Returns false where an unparker was first; the waiter is idle afterwards either way. */
bool fl_lot_cancel(fl_waiter *waiter);

/* Runs under the bucket's mutex with the first waiter of the key, or NULL, and whether more wait behind it.  It may
 * change the primitive's word and the waiter's `handed_off` and `designated`.  True takes the waiter out and wakes it. */
typedef bool fl_unpark_fn(void *ctx, fl_waiter *first, bool more);

/* Unparks the waiter that has waited longest for `key`, if `decide` says so.  Wakes it when the mutex is free again or,
 * where the calling thread is about to sleep as `later`, at the beginning of that sleep, when it is detached. */
void fl_lot_unpark_one(const void *key, fl_unpark_fn *decide, void *ctx, fl_waiter *later);

/* How several waiters are unparked in one step.  Each runs under the bucket's mutex. */
typedef struct {
    size_t (*begin)(void *ctx);                 /* how many to unpark at most, those first that have waited longest */
    void (*take)(void *ctx, fl_waiter *waiter); /* for each of them; it may change `handed_off` and `place` */
    void (*end)(void *ctx, bool left);          /* `left`: whether any still wait; after it the key may be freed */
} fl_unpark_ops;

/* Unparks waiters of `key`, and wakes them when the mutex is free again.  Returns how many they were. */
size_t fl_lot_unpark_many(const void *key, const fl_unpark_ops *ops, void *ctx);

/* Runs under both buckets' mutexes for a waiter about to leave `from`.  True queues it for `to`, false wakes it.  One that is
 * `polling` may go only where it can still time out and give up: to another condition, never to a lock. */
typedef bool fl_requeue_fn(void *ctx, fl_waiter *waiter);

/* Takes up to `most` waiters from the head of `from` and queues them for `to` or wakes them, as `decide` says.
 * `done(ctx, left)` runs last under the mutexes; `left`: whether any still wait for `from`.  Returns how many were
 * taken. */
size_t fl_lot_requeue(const void *from, const void *to, size_t most, fl_requeue_fn *decide,
                      void (*done)(void *ctx, bool left), void *ctx);

/* For tests, debugging and repr: calls `visit` for each waiter of `key` in its order, under the bucket's mutex, and
 * returns how many they are.  `visit` may be NULL. */
size_t fl_lot_walk(const void *key, void (*visit)(void *ctx, const fl_waiter *waiter), void *ctx);

#endif
