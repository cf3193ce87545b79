/* The waiter: one thread in a queue of the parking lot, during one wait.
 *
 * Life of a waiter, and who may move it on:
 *
 *   idle --enqueue--> queued --dequeue by itself (timeout, interruption)--> idle
 *                       |  \--requeue--> queued for another key
 *                       \--unpark--> taken --wake--> idle
 *
 * The rules, L1 to L9, are in core/lot/parking_lot.h. */

#ifndef FL_WAITER_H
#define FL_WAITER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/blocker.h"
#include "core/thread.h"
#include "park/park.h"
#include "platform/atomic.h"

typedef struct fl_waiter fl_waiter;

/* What the key of a waiter is: which of the primitives.  The probes tell these numbers (docs/probes.md). */
typedef enum {
    FL_FOR_NOTHING = 0, /* it has not been queued yet */
    FL_FOR_MUTEX = 1,   /* the word of a plain mutex */
    FL_FOR_RMUTEX = 2,  /* the word of a recursive mutex */
    FL_FOR_COND = 3,
    FL_FOR_EVENT = 4,
    FL_FOR_SEMA = 5,
    FL_FOR_BARRIER = 6,
} fl_wait_kind;

typedef enum {
    FL_STAYS,           /* timeouts only: the waiter stays queued, from now on without a deadline */
    FL_LEAVES,          /* the waiter leaves its queue */
    FL_LEAVES_WITH_ALL, /* the waiter leaves its queue, and all others of its key are unparked */
} fl_leave;

/* Tells a primitive that the waiter is about to leave its queue without having been unparked, so that the primitive can
 * change its word in the same step.  Runs under the bucket's mutex.  `timed_out` is false after an interruption, and in
 * a forked child that lacks the waiter's thread; then the waiter leaves, whatever is returned. */
typedef fl_leave fl_leave_fn(fl_waiter *waiter, bool timed_out);

struct fl_waiter {
    /* Under the mutex of its bucket.  `bucket` itself is also read without it, to find the mutex (L3). */
    fl_atomic_ptr bucket; /* where it is queued, or was last */
    const void *key;
    fl_waiter *next, *prev;
    fl_waiter *tail;       /* of the FIFO; of its head only */
    fl_waiter *next_queue; /* the next key's FIFO in this bucket; of its head only */
    bool queued;
    bool notified;   /* a condition has chosen it: it waits for nothing but the lock, without timeout or interruption */
    bool handed_off; /* the unparker has given it the primitive */
    bool designated; /* the unparker relies on it to try the lock: core/lock_word.h */
    bool wants_no_lock; /* it does not want the lock of its condition: a notification wakes it, and never requeues it */
    bool gives_way;  /* it queues for a lock that is free, to leave it to the designated waiter: core/lot/give_way.h */
    bool polling;    /* its thread runs code of the runtime: it can be unparked, but not sent to a lock's queue (L7) */
    bool deadlocked; /* it was taken out because it would wait for ever: core/deadlock.h */
    bool scoped;     /* for a plain mutex: its thread will hold that for a block, as core/mutex.h says */
    fl_wait_kind kind; /* of the key; changes with it */

    uint64_t waker; /* the serial of the thread that has unparked it, for core/lot/spin.h */
    uint32_t place; /* a note of the unparker: its place among those that were unparked together */

    /* The owner's.  Constant while queued, but for two: a notification sets since_ns and an interruption sets
     * was_interrupted, both under the mutex. */
    fl_leave_fn *on_leave;  /* or NULL */
    fl_waiter *owed;        /* a waiter that its thread has taken out, and wakes as soon as it is detached (L8) */
    bool is_first;          /* it was the first for its key when it was queued */
    bool was_interrupted;   /* its wait takes long, so it does not spin again */
    bool is_woken_with_all; /* all that wait for its key are unparked in one step, so it may spin without being first */
    bool is_patient;        /* more threads have to run before it is woken than there are processors: no spin */
    bool keeps_place;       /* it stays queued while an interruption is dealt with (L5) */
    bool resigned;          /* its deadlock has been told, and the wait goes on: core/deadlock.h, D9 */
    bool may_fail;          /* its thread can do without what it waits for: a deadlock ends the wait */
    uint64_t thread;        /* the owner's serial */
    fl_standing *standing;  /* of its thread (U5); NULL in some tests */
    int64_t deadline_ns;    /* of the wait for the key; means nothing once the waiter is notified */
    const void *runtime;    /* which of several, where there are such: fl_blocker */
    int64_t since_ns;       /* when it was first queued, for fairness; 0 before; a notification sets it anew (L9) */
    fl_parker parker;
};

/* Whether the waiter's key is the word of a mutex, of either kind. */
static inline bool
fl_waiter_is_for_lock(const fl_waiter *waiter)
{
    return waiter->kind == FL_FOR_MUTEX || waiter->kind == FL_FOR_RMUTEX;
}

/* Sets up a waiter of the calling thread; `keeps_place` as above.  Returns 0, ENOMEM or EAGAIN.  Does not block. */
int fl_waiter_init(fl_waiter *waiter, bool keeps_place);

/* Discards an idle waiter that owes nothing.  Does not block. */
void fl_waiter_fini(fl_waiter *waiter);

/* Sets up a waiter that keeps its place, in `storage`.  If it is to stay queued while poll() runs it is allocated
 * instead (L5).  Returns the waiter, which fl_waiter_end discards, or NULL where the system lacks resources. */
fl_waiter *fl_waiter_begin(fl_waiter *storage, const fl_blocker *blocker);

/* Discards what fl_waiter_begin has returned for `storage`, when it is idle. */
void fl_waiter_end(fl_waiter *waiter, fl_waiter *storage);

#endif
